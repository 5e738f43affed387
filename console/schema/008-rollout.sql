-- Rollouts: a staged move of devices to a version of one asset. console/delivery/LIFECYCLE.md explains the states.

-- Writer: console/delivery/rollout.c.
CREATE TABLE rollout (
    id INTEGER PRIMARY KEY,
    product TEXT NOT NULL,
    asset TEXT NOT NULL,
    version TEXT NOT NULL,
    manifest TEXT NOT NULL,                  -- SHA-256 of the version's manifest, hex
    hardware TEXT NOT NULL,                  -- JSON array of the revisions that the version fits; []: all
    requires TEXT NOT NULL,                  -- JSON object, of the version
    state TEXT NOT NULL,                     -- console/delivery/rollout.h
    since INTEGER NOT NULL,                  -- Unix seconds of the state
    until INTEGER,                           -- Unix seconds when the state ends by itself, as far as known
    reason_code TEXT,                        -- why it is held, paused, aborted, …
    reason_text TEXT,
    group_name TEXT,                         -- that chose the devices; NULL: not a group
    filter TEXT,                             -- that chose the devices; NULL: not a filter
    seed TEXT NOT NULL,                      -- 32 hex digits: the order of devices is SHA-256 of seed and device id
    stage INTEGER NOT NULL,                  -- that runs now; 0: none yet
    stages INTEGER NOT NULL,                 -- how many there are
    devices INTEGER NOT NULL,                -- members
    soak_s INTEGER NOT NULL,
    device_deadline_s INTEGER NOT NULL,      -- seconds from a device's order (or its window) to success
    stage_deadline_s INTEGER,                -- seconds from a stage's start; NULL: none
    max_failures TEXT,                       -- "5%" or "3" of a stage; NULL: no gate
    min_successes INTEGER,                   -- of a stage; NULL: no gate
    approval INTEGER NOT NULL,               -- 1: a person lets each next stage begin
    at INTEGER,                              -- Unix seconds of the start; NULL: at once
    window TEXT,                             -- "02:00-05:00" of each device's local time; NULL: any time
    parallel INTEGER,                        -- devices on their way at the same time; NULL: all
    rate INTEGER,                            -- bytes a second for one device; NULL: no limit
    retries INTEGER NOT NULL,                -- times that a device is asked again after it failed
    ends_at INTEGER,                         -- Unix seconds; NULL: open
    auto_roll_back INTEGER NOT NULL,         -- 1: a gate rolls back instead of holding
    late_joiners INTEGER NOT NULL,           -- 1: devices that come to match later join
    begins INTEGER NOT NULL,                 -- 1: a draft that starts as soon as its version is listed
    reason TEXT,
    ticket TEXT,
    created_at INTEGER NOT NULL,             -- Unix seconds
    created_by TEXT NOT NULL                 -- operator's name
) STRICT;
CREATE INDEX rollout_by_state ON rollout (state);

-- Writer: console/delivery/rollout_stage.c.
CREATE TABLE rollout_stage (
    rollout_id INTEGER NOT NULL REFERENCES rollout (id),
    number INTEGER NOT NULL,                 -- 1, 2, …
    share TEXT NOT NULL,                     -- as given: "10%" or "5", counted from the first device
    devices INTEGER NOT NULL,                -- members of this stage
    started_at INTEGER,                      -- Unix seconds; NULL: it waits
    until INTEGER,                           -- Unix seconds of the stage's deadline; NULL: none
    done_at INTEGER,                         -- Unix seconds; NULL: not yet
    accepted INTEGER NOT NULL DEFAULT 0,     -- failures that a person accepted: the gate counts those beyond
    PRIMARY KEY (rollout_id, number)
) STRICT, WITHOUT ROWID;

-- Writer: console/delivery/rollout_assignment.c. One device in one rollout.
CREATE TABLE rollout_assignment (
    rollout_id INTEGER NOT NULL REFERENCES rollout (id),
    device_id INTEGER NOT NULL,              -- of device
    stage INTEGER NOT NULL,
    state TEXT NOT NULL,                     -- console/delivery/rollout_assignment.h
    since INTEGER NOT NULL,                  -- Unix seconds of the state
    until INTEGER,                           -- Unix seconds: what happens in silence then; of a pending one: not before
    deadline INTEGER,                        -- Unix seconds: to be running by then
    attempts INTEGER NOT NULL,               -- times that the device was asked
    result INTEGER,                          -- LwM2M 0-11, by the device
    reason_code TEXT,
    reason_text TEXT,
    from_version TEXT,                       -- that it ran before; NULL: none
    before_version TEXT,                     -- of the device_target row before, which a roll back restores; NULL: there was none
    before_rollout INTEGER,
    before_at INTEGER,                       -- Unix seconds: decided_at of that row
    PRIMARY KEY (rollout_id, device_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollout_assignment_by_state ON rollout_assignment (rollout_id, state, stage);
CREATE INDEX rollout_assignment_by_device ON rollout_assignment (device_id);
CREATE INDEX rollout_assignment_by_time ON rollout_assignment (until) WHERE until IS NOT NULL;
CREATE INDEX rollout_assignment_before ON rollout_assignment (before_version) WHERE before_version IS NOT NULL;

-- Writer: console/delivery/rollout_assignment.c, in the transaction that writes the states. Kept, so that no page counts rows.
CREATE TABLE rollout_count (
    rollout_id INTEGER NOT NULL REFERENCES rollout (id),
    stage INTEGER NOT NULL,
    state TEXT NOT NULL,
    devices INTEGER NOT NULL,
    PRIMARY KEY (rollout_id, stage, state)
) STRICT, WITHOUT ROWID;

-- Writer: console/delivery/rollout.c. The rollout's timeline.
CREATE TABLE rollout_event (
    id INTEGER PRIMARY KEY,
    rollout_id INTEGER NOT NULL REFERENCES rollout (id),
    at INTEGER NOT NULL,                     -- Unix seconds
    what TEXT NOT NULL,                      -- a state of the rollout, stage, retry, exclude, joined
    text TEXT NOT NULL,                      -- one sentence
    by TEXT                                  -- operator's name; NULL: the console
) STRICT;
CREATE INDEX rollout_event_by_rollout ON rollout_event (rollout_id, id);

-- Which version of an asset rollouts left devices with: asked while the signed metadata are made.
CREATE INDEX device_target_by_version ON device_target (asset, version);
