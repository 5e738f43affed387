-- Captures that are kept, and web hooks.

-- Writer: diagnostics/capture.c.
ALTER TABLE capture ADD COLUMN hold INTEGER NOT NULL DEFAULT 0; -- 1: kept whatever retention says
ALTER TABLE capture ADD COLUMN hold_reason TEXT;
ALTER TABLE capture ADD COLUMN omitted TEXT;                     -- JSON array of {"path","why"}, as the device listed; NULL: nothing
ALTER TABLE capture_file ADD COLUMN redacted INTEGER NOT NULL DEFAULT 0; -- places that the device blotted out

-- Writer: console/hooks.c. Where alarms and ends are told.
CREATE TABLE hook (
    name TEXT NOT NULL PRIMARY KEY,
    url TEXT NOT NULL,                       -- https, or http to this machine
    events TEXT NOT NULL,                    -- JSON array
    secret TEXT NOT NULL,                    -- HMAC-SHA256 key, shown once
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL              -- Unix seconds
) STRICT;

-- Writer: console/hooks.c. What is to be sent and what became of it; the newest 1,000 of each are kept.
CREATE TABLE hook_delivery (
    id INTEGER PRIMARY KEY,
    hook TEXT NOT NULL REFERENCES hook (name) ON DELETE CASCADE,
    at INTEGER NOT NULL,                     -- Unix seconds
    event TEXT NOT NULL,
    body TEXT NOT NULL,                      -- JSON
    attempt INTEGER NOT NULL,                -- made so far
    next_at INTEGER,                         -- Unix seconds of the next attempt; NULL: over
    status INTEGER,                          -- HTTP status of the last; NULL: none
    error TEXT
) STRICT;
CREATE INDEX hook_delivery_due ON hook_delivery (next_at);
CREATE INDEX hook_delivery_of_hook ON hook_delivery (hook, id);
