-- Campaigns that repeat, wait for windows, are approved, held and extended. diagnostics/LIFECYCLE.md explains the states.

-- Writer: diagnostics/campaign.c. What a campaign says besides 004.
ALTER TABLE campaign ADD COLUMN devices INTEGER NOT NULL DEFAULT 0;      -- how many there are in it
ALTER TABLE campaign ADD COLUMN redact TEXT NOT NULL DEFAULT '[]';       -- JSON array of patterns that the device blots out
ALTER TABLE campaign ADD COLUMN window TEXT;                             -- "02:00-05:00" of the device's local time; NULL: any time
ALTER TABLE campaign ADD COLUMN repeat TEXT;                             -- daily, weekly:mon,thu, monthly:1,15,last; NULL: once
ALTER TABLE campaign ADD COLUMN at_local TEXT;                           -- "2026-11-23T02:00": of a repeating one, first day and time of day on each device's own clock
ALTER TABLE campaign ADD COLUMN until TEXT;                              -- the last day as a date, or a time as RFC 3339; NULL: no end
ALTER TABLE campaign ADD COLUMN occurrences INTEGER;                     -- most runs; NULL: no limit
ALTER TABLE campaign ADD COLUMN blackout TEXT NOT NULL DEFAULT '[]';     -- JSON array of dates without a run
ALTER TABLE campaign ADD COLUMN max_failures TEXT;                       -- "5%" or "3": more hold a run; NULL: no limit
ALTER TABLE campaign ADD COLUMN device_deadline_s INTEGER NOT NULL DEFAULT 600; -- seconds of silence after a device took its order, and while it verifies
ALTER TABLE campaign ADD COLUMN next_at INTEGER;                         -- Unix seconds: when the occurrence begins for which there is no run yet; NULL: none
ALTER TABLE campaign ADD COLUMN approval INTEGER NOT NULL DEFAULT 1;     -- 2: a second person must agree before it begins
ALTER TABLE campaign ADD COLUMN approved_by TEXT;                        -- operator's name
ALTER TABLE campaign ADD COLUMN approved_at INTEGER;                     -- Unix seconds
ALTER TABLE campaign ADD COLUMN state_reason_code TEXT;                  -- why it is paused: by a person, or too many failures
ALTER TABLE campaign ADD COLUMN state_reason TEXT;                       -- the same as a sentence
UPDATE campaign SET devices = (SELECT count(DISTINCT device_id) FROM assignment WHERE campaign_id = campaign.id);

-- Writer: diagnostics/campaign.c. The zones of a campaign's devices when it was made, for showing local times.
CREATE TABLE campaign_zone (
    campaign_id INTEGER NOT NULL REFERENCES campaign (id),
    zone TEXT NOT NULL,                      -- IANA name
    devices INTEGER NOT NULL,
    PRIMARY KEY (campaign_id, zone)
) STRICT, WITHOUT ROWID;

-- Writer: diagnostics/run.c.
ALTER TABLE run ADD COLUMN day INTEGER;                                  -- days since 1970-01-01: the occurrence's date on the devices' own calendars; NULL: none
ALTER TABLE run ADD COLUMN filled INTEGER;                               -- assignments are made up to this device id; NULL: all of them
ALTER TABLE run ADD COLUMN begun INTEGER NOT NULL DEFAULT 0;             -- devices that ever began
ALTER TABLE run ADD COLUMN forgiven INTEGER NOT NULL DEFAULT 0;          -- failures that a person let pass by resuming
ALTER TABLE run ADD COLUMN looked INTEGER NOT NULL DEFAULT 0;            -- queued devices up to this id were looked at for a place
ALTER TABLE run ADD COLUMN reason_code TEXT;                             -- why it is held: max_failures
ALTER TABLE run ADD COLUMN reason_text TEXT;
UPDATE run SET begun = (SELECT count(started_at) FROM assignment WHERE campaign_id = run.campaign_id AND run_number = run.number);

-- Writer: diagnostics/assignment_count.c, in the transaction of what it counts. How many assignments of a run are in each state; the sum of rows, always.
CREATE TABLE run_count (
    campaign_id INTEGER NOT NULL,
    run_number INTEGER NOT NULL,
    state TEXT NOT NULL,                     -- diagnostics/assignment.h
    count INTEGER NOT NULL,
    PRIMARY KEY (campaign_id, run_number, state),
    FOREIGN KEY (campaign_id, run_number) REFERENCES run (campaign_id, number)
) STRICT, WITHOUT ROWID;
INSERT INTO run_count SELECT campaign_id, run_number, state, count(*) FROM assignment GROUP BY campaign_id, run_number, state;

-- Writer: diagnostics/assignment.c.
ALTER TABLE assignment ADD COLUMN start_before INTEGER;                  -- Unix seconds, of its own window; NULL: the run's
ALTER TABLE assignment ADD COLUMN duration_s INTEGER;                    -- seconds, once extended; NULL: the campaign's
CREATE INDEX assignment_queued ON assignment (campaign_id, run_number, device_id) WHERE state = 'queued';

-- Writer: diagnostics/assignment_step.c. The steps that one device took in a run, as they were told.
CREATE TABLE assignment_step (
    assignment_id TEXT NOT NULL REFERENCES assignment (id),
    n INTEGER NOT NULL,                      -- 1, 2, …
    state TEXT NOT NULL,
    at_ms INTEGER NOT NULL,                  -- Unix milliseconds, by the device where it said so
    text TEXT,                               -- the reason's sentence
    PRIMARY KEY (assignment_id, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX campaign_by_state ON campaign (state);
