-- Captures that are kept or deleted, and web hooks.

-- Writer: diagnostics/capture*.c.
ALTER TABLE capture ADD COLUMN hold_by TEXT;                     -- operator who keeps it whatever retention says; NULL: nobody
ALTER TABLE capture ADD COLUMN hold_at INTEGER;                  -- Unix seconds
ALTER TABLE capture ADD COLUMN hold_reason TEXT;
ALTER TABLE capture ADD COLUMN omitted TEXT;                     -- JSON array of {"path","why"}, as the device listed; NULL: nothing
ALTER TABLE capture ADD COLUMN deleted_at INTEGER;               -- Unix seconds: its files are gone, the row says so; NULL: it is there
ALTER TABLE capture ADD COLUMN deleted_why TEXT;
ALTER TABLE capture_file ADD COLUMN redacted INTEGER NOT NULL DEFAULT 0; -- places that the device blotted out
CREATE INDEX capture_by_age ON capture (created_at) WHERE deleted_at IS NULL;

-- Writer: diagnostics/capture_limits.c, in the transaction of what it counts. Bytes as listed of the captures that are there; the sum of their rows, always.
CREATE TABLE capture_total (
    scope TEXT NOT NULL,                     -- all, campaign, device
    id INTEGER NOT NULL,                     -- of the campaign or device; all: 0
    length INTEGER NOT NULL,                 -- bytes
    PRIMARY KEY (scope, id)
) STRICT, WITHOUT ROWID;
INSERT INTO capture_total SELECT 'all', 0, coalesce(sum(length), 0) FROM capture;
INSERT INTO capture_total SELECT 'campaign', a.campaign_id, sum(k.length) FROM capture k JOIN assignment a ON a.id = k.assignment_id GROUP BY a.campaign_id;
INSERT INTO capture_total SELECT 'device', a.device_id, sum(k.length) FROM capture k JOIN assignment a ON a.id = k.assignment_id GROUP BY a.device_id;

-- Writer: console/hooks.c. Where alarms and ends are told.
CREATE TABLE hook (
    name TEXT NOT NULL PRIMARY KEY,
    url TEXT NOT NULL,                       -- https, or http to this machine
    events TEXT NOT NULL,                    -- words with a space before and after each: " alarm campaign "
    secret TEXT NOT NULL,                    -- HMAC-SHA256 key, shown once
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL              -- Unix seconds
) STRICT;

-- Writer: console/hooks*.c. What is to be sent and what became of it; the newest 1,000 of each hook are kept.
CREATE TABLE hook_delivery (
    id INTEGER PRIMARY KEY,
    hook TEXT NOT NULL REFERENCES hook (name) ON DELETE CASCADE,
    at INTEGER NOT NULL,                     -- Unix seconds
    event TEXT NOT NULL,
    body TEXT NOT NULL,                      -- JSON
    attempt INTEGER NOT NULL,                -- made so far
    tried_at INTEGER,                        -- Unix seconds of the last; NULL: none
    next_at INTEGER,                         -- Unix seconds of the next attempt; NULL: over
    status INTEGER,                          -- HTTP status of the last; NULL: none
    error TEXT
) STRICT;
CREATE INDEX hook_delivery_due ON hook_delivery (hook, next_at);
CREATE INDEX hook_delivery_of_hook ON hook_delivery (hook, id);
