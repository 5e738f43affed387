-- People: operators, their sessions and API tokens; the audit of what they changed.

-- One writer: console/people.c
CREATE TABLE operators (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    password TEXT NOT NULL,           -- scrypt, base/digest.h
    role TEXT NOT NULL,               -- viewer, support, release, admin
    created_at INTEGER NOT NULL,      -- Unix seconds
    last_seen INTEGER                 -- Unix seconds, kept to five minutes
) STRICT;

-- One writer: console/people_session.c
CREATE TABLE sessions (
    token TEXT PRIMARY KEY,           -- SHA-256 of the cookie, hex
    operator_id INTEGER NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    address TEXT NOT NULL,            -- where it was opened from
    created_at INTEGER NOT NULL,      -- Unix seconds
    last_seen INTEGER NOT NULL,       -- Unix seconds, kept to five minutes
    expires_at INTEGER NOT NULL       -- Unix seconds, whatever is done with it
) STRICT;
CREATE INDEX sessions_operator ON sessions (operator_id);

-- One writer: console/people_token.c
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY,
    operator_id INTEGER NOT NULL REFERENCES operators (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    token TEXT NOT NULL UNIQUE,       -- SHA-256 of the token, hex
    role TEXT NOT NULL,               -- at most this, and at most the operator's
    created_at INTEGER NOT NULL,      -- Unix seconds
    expires_at INTEGER,               -- Unix seconds; NULL: never
    UNIQUE (operator_id, name)
) STRICT;

-- One writer: console/audit.c. Never changed, never deleted.
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,              -- Unix seconds
    operator TEXT,                    -- NULL: the system itself
    action TEXT NOT NULL,             -- a verb of the glossary
    object TEXT NOT NULL,             -- what it was done to
    detail TEXT,                      -- one line
    hash TEXT NOT NULL                -- SHA-256 of the hash before and this row, console/audit.h
) STRICT;
