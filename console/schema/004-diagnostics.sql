-- Campaigns of temporary diagnostic images. diagnostics/LIFECYCLE.md explains the states.

-- Writer: diagnostics/campaign.c.
CREATE TABLE campaign (
    id INTEGER PRIMARY KEY,
    product TEXT NOT NULL,
    image TEXT NOT NULL,                     -- asset of kind diagnostic
    version TEXT NOT NULL,
    state TEXT NOT NULL,                     -- diagnostics/campaign.h
    since INTEGER NOT NULL,                  -- Unix seconds of the state
    mode TEXT NOT NULL,                      -- of the image: replace, beside, override
    duration_s INTEGER NOT NULL,             -- seconds that the image may run
    grace_s INTEGER NOT NULL,                -- seconds between SIGTERM and SIGKILL, of the image
    max_output INTEGER NOT NULL,             -- bytes, of the image
    collect TEXT NOT NULL,                   -- JSON array, of the image
    params TEXT NOT NULL,                    -- JSON object
    at INTEGER,                              -- Unix seconds; NULL: at once
    parallel INTEGER,                        -- devices on the image at the same time; NULL: all
    filter TEXT,                             -- that chose the devices; NULL: named one by one
    ticket TEXT,
    reason TEXT,
    created_at INTEGER NOT NULL,             -- Unix seconds
    created_by TEXT NOT NULL                 -- operator's name
) STRICT;

-- Writer: diagnostics/run.c. One occurrence of a campaign.
CREATE TABLE run (
    campaign_id INTEGER NOT NULL REFERENCES campaign (id),
    number INTEGER NOT NULL,                 -- 1, 2, …
    state TEXT NOT NULL,                     -- diagnostics/run.h
    since INTEGER NOT NULL,                  -- Unix seconds of the state
    starts_at INTEGER NOT NULL,              -- Unix seconds
    start_before INTEGER NOT NULL,           -- Unix seconds; a device that has not begun by then does not begin
    ended_by TEXT,                           -- operator who ended it; NULL: nobody
    PRIMARY KEY (campaign_id, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_by_state ON run (state);

-- Writer: diagnostics/assignment.c. One device in one run.
CREATE TABLE assignment (
    id TEXT NOT NULL PRIMARY KEY,            -- 32 hex digits: the run id of orders and reports
    campaign_id INTEGER NOT NULL,
    run_number INTEGER NOT NULL,
    device_id INTEGER NOT NULL REFERENCES device (id),
    state TEXT NOT NULL,                     -- diagnostics/assignment.h
    since INTEGER NOT NULL,                  -- Unix seconds of the state
    until INTEGER,                           -- Unix seconds: what happens in silence then stands in diagnostics/assignment.c
    alarm TEXT,                              -- overdue, lost, revert_failed
    reason_code TEXT,                        -- why failed, skipped, cancelled, or why it waits
    reason_text TEXT,
    start_after INTEGER,                     -- Unix seconds, as ordered; NULL: not ordered yet
    started_at INTEGER,                      -- Unix seconds, by the device
    ends_at INTEGER,                         -- Unix seconds: the deadline, by the device
    reverted_at INTEGER,                     -- Unix seconds, by the device
    proof TEXT,                              -- JSON as the device signed it
    proof_verified INTEGER,                  -- 1: the signature is the device's and names this run
    FOREIGN KEY (campaign_id, run_number) REFERENCES run (campaign_id, number),
    UNIQUE (campaign_id, run_number, device_id)
) STRICT;
CREATE INDEX assignment_by_device ON assignment (device_id, state);
CREATE INDEX assignment_by_state ON assignment (state, until);

-- Writer: diagnostics/capture.c. What one assignment collected; the bytes lie in captures/<id>/<n>.
CREATE TABLE capture (
    id INTEGER PRIMARY KEY,
    assignment_id TEXT NOT NULL UNIQUE REFERENCES assignment (id),
    state TEXT NOT NULL,                     -- uploading, complete, partial, none
    reason TEXT,                             -- why partial or none
    listed INTEGER NOT NULL,                 -- 1: the device says that the list is all that there was
    length INTEGER NOT NULL,                 -- bytes of all files, as listed
    file_count INTEGER NOT NULL,
    created_at INTEGER NOT NULL              -- Unix seconds
) STRICT;

-- Writer: diagnostics/capture.c.
CREATE TABLE capture_file (
    capture_id INTEGER NOT NULL REFERENCES capture (id),
    n INTEGER NOT NULL,                      -- 0, 1, …: its name on the disk
    path TEXT NOT NULL,                      -- below LOCUM_OUTPUT
    length INTEGER NOT NULL,                 -- bytes
    sha256 TEXT NOT NULL,
    type TEXT NOT NULL,                      -- timeseries, log, text, binary
    complete INTEGER NOT NULL,               -- 1: all bytes are there and the hash is right
    PRIMARY KEY (capture_id, n)
) STRICT, WITHOUT ROWID;
