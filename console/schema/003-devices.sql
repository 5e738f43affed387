-- Devices: who they are, what they said last, what they should be.

-- Writer: console/claims.c. One-time codes that let a device enrol.
CREATE TABLE claim (
    secret_sha256 TEXT NOT NULL PRIMARY KEY, -- SHA-256 of the secret, hex; the secret itself is kept nowhere
    product TEXT NOT NULL,                   -- the line of devices that the code is for
    hardware TEXT,                           -- revision that the code fixes; NULL: the device says it
    review INTEGER NOT NULL,                 -- 1: the device waits for a person; 0: the code counts as acceptance
    created_by TEXT NOT NULL,                -- operator's name
    created_at INTEGER NOT NULL,             -- Unix seconds
    expires_at INTEGER NOT NULL,             -- Unix seconds
    device_id INTEGER                        -- the device that used it; NULL: not used yet
) STRICT;

-- Writer: console/devices.c. One row a device, for ever: a retired one keeps its name.
CREATE TABLE device (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,               -- name grammar of repo/name.h
    product TEXT NOT NULL,
    hardware TEXT,                           -- revision; NULL: none said
    key_id TEXT NOT NULL UNIQUE,             -- TUF key id of public_key, hex
    public_key TEXT NOT NULL,                -- Ed25519, 32 bytes in hex
    admission TEXT NOT NULL,                 -- pending, accepted, rejected, retired
    clone_suspected INTEGER NOT NULL DEFAULT 0, -- 1: its session counter forked; no new orders until a person accepts
    enrolled_at INTEGER NOT NULL             -- Unix seconds
) STRICT;
CREATE INDEX device_by_product ON device (product, name);

-- Writer: console/devices.c.
CREATE TABLE device_tag (
    device_id INTEGER NOT NULL REFERENCES device (id),
    tag TEXT NOT NULL,
    PRIMARY KEY (device_id, tag)
) STRICT, WITHOUT ROWID;

-- Writer: console/fleet_flush.c, sorted, every few seconds. Narrow: the part that changes with every check-in.
CREATE TABLE device_seen (
    device_id INTEGER PRIMARY KEY REFERENCES device (id),
    last_seen INTEGER NOT NULL,              -- Unix seconds
    session_counter INTEGER NOT NULL         -- highest that the device proved
) STRICT;

-- Writer: console/fleet_flush.c, only when what a device says has changed.
CREATE TABLE device_report (
    device_id INTEGER PRIMARY KEY REFERENCES device (id),
    said TEXT NOT NULL,                      -- JSON: the check-in as agent/PROTOCOL.md has it, without facts
    facts TEXT                               -- JSON object; NULL: not said yet
) STRICT;

-- Writer: console/orders.c. The newest order of each device; durable before the device gets it.
CREATE TABLE device_order (
    device_id INTEGER PRIMARY KEY REFERENCES device (id),
    seq INTEGER NOT NULL,                    -- max(previous + 1, Unix seconds)
    expires_at INTEGER NOT NULL,             -- Unix seconds
    wish TEXT NOT NULL,                      -- SHA-256 of set and runs, hex
    document TEXT NOT NULL                   -- the signed order
) STRICT;

-- Writer: console/devices.c. What happened to a device, for people; the newest 1,000 of each are kept.
CREATE TABLE device_event (
    id INTEGER PRIMARY KEY,
    device_id INTEGER NOT NULL REFERENCES device (id),
    at INTEGER NOT NULL,                     -- Unix seconds
    what TEXT NOT NULL,                      -- enrolled, accepted, swap, app, assignment, …
    text TEXT NOT NULL                       -- one sentence
) STRICT;
CREATE INDEX device_event_by_device ON device_event (device_id, id);

-- Writer: console/reports.c. Ids of reports that were taken, so that a repeated one changes nothing; kept for 30 days.
CREATE TABLE device_report_taken (
    device_id INTEGER NOT NULL REFERENCES device (id),
    id TEXT NOT NULL,                        -- 32 hex digits, the device's
    at INTEGER NOT NULL,                     -- Unix seconds, when it came
    PRIMARY KEY (device_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_report_taken_by_time ON device_report_taken (at);

-- Writer: console/delivery/release.c. The version that the devices of a product should run.
CREATE TABLE release (
    product TEXT NOT NULL,
    asset TEXT NOT NULL,
    version TEXT,                            -- NULL: the first release is on its way
    next_version TEXT,                       -- about to be released: listed in the signed metadata before an order names it
    hardware TEXT NOT NULL,                  -- JSON array of the revisions that the version fits; []: all
    released_by TEXT,                        -- operator's name
    released_at INTEGER,                     -- Unix seconds
    PRIMARY KEY (product, asset)
) STRICT, WITHOUT ROWID;
