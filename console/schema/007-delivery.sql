-- Delivery: what the devices of products and groups should run, and single devices held at a version. console/delivery/LIFECYCLE.md says which of these wins.

-- Writer: console/delivery/product.c. A product's settings that are not the default.
CREATE TABLE product_setting (
    product TEXT NOT NULL,
    key TEXT NOT NULL,                       -- console/delivery/product.h
    value TEXT NOT NULL,
    changed_by TEXT NOT NULL,                -- operator's name
    changed_at INTEGER NOT NULL,             -- Unix seconds
    PRIMARY KEY (product, key)
) STRICT, WITHOUT ROWID;

-- Writer: console/delivery/group.c.
CREATE TABLE device_group (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,               -- name grammar of repo/name.h
    filter TEXT,                             -- NULL: a fixed group
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL              -- Unix seconds
) STRICT;

-- Writer: console/delivery/group.c. Who is in it: as named, or as the filter said when it was looked at last.
CREATE TABLE device_group_member (
    group_id INTEGER NOT NULL REFERENCES device_group (id) ON DELETE CASCADE,
    device_id INTEGER NOT NULL REFERENCES device (id),
    PRIMARY KEY (group_id, device_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_group_of_device ON device_group_member (device_id);

-- Writer: console/delivery/release.c. As `release`, for the devices of a group that are of the product.
CREATE TABLE group_release (
    group_id INTEGER NOT NULL REFERENCES device_group (id) ON DELETE CASCADE,
    product TEXT NOT NULL,
    asset TEXT NOT NULL,
    version TEXT,                            -- NULL: the first release is on its way
    next_version TEXT,                       -- about to be released: listed before an order names it
    hardware TEXT NOT NULL,                  -- JSON array; []: all
    released_by TEXT,
    released_at INTEGER,                     -- Unix seconds
    PRIMARY KEY (group_id, product, asset)
) STRICT, WITHOUT ROWID;

-- Writer: console/delivery/withdraw.c. Versions that are offered to nobody any more.
CREATE TABLE withdrawn (
    product TEXT NOT NULL,
    asset TEXT NOT NULL,
    version TEXT NOT NULL,
    reason TEXT NOT NULL,
    withdrawn_by TEXT NOT NULL,
    withdrawn_at INTEGER NOT NULL,           -- Unix seconds
    PRIMARY KEY (product, asset, version)
) STRICT, WITHOUT ROWID;

-- Writer: console/delivery/pin.c. One device held at a version of one asset.
CREATE TABLE pin (
    device_id INTEGER NOT NULL REFERENCES device (id),
    asset TEXT NOT NULL,
    version TEXT NOT NULL,
    next_version TEXT,                       -- about to be pinned: listed before an order names it
    on_reset INTEGER NOT NULL,               -- 1: taken up when the device's agent starts the next time
    active INTEGER NOT NULL,                 -- 0: about to be, the version is being listed
    reason TEXT,
    pinned_by TEXT NOT NULL,
    pinned_at INTEGER NOT NULL,              -- Unix seconds
    PRIMARY KEY (device_id, asset)
) STRICT, WITHOUT ROWID;
CREATE INDEX pin_of_version ON pin (asset, version);

-- Writer: console/delivery/pin.c. A development device takes no release and no rollout: it keeps what it had, and takes pins.
ALTER TABLE device ADD COLUMN development INTEGER NOT NULL DEFAULT 0;
CREATE TABLE device_kept (
    device_id INTEGER NOT NULL REFERENCES device (id),
    asset TEXT NOT NULL,
    version TEXT NOT NULL,                   -- wanted when it became a development device
    PRIMARY KEY (device_id, asset)
) STRICT, WITHOUT ROWID;

-- Writer: console/delivery/target.c. What a rollout decided for one device; a release that is newer than it wins.
CREATE TABLE device_target (
    device_id INTEGER NOT NULL REFERENCES device (id),
    asset TEXT NOT NULL,
    version TEXT NOT NULL,
    rollout_id INTEGER NOT NULL,
    decided_at INTEGER NOT NULL,             -- Unix seconds
    apply_after INTEGER,                     -- Unix seconds, NULL: at once
    window TEXT,                             -- "02:00-05:00" of the device's local time, NULL: any time
    rate INTEGER,                            -- bytes a second at most while fetching, NULL: no limit
    PRIMARY KEY (device_id, asset)
) STRICT, WITHOUT ROWID;
CREATE INDEX device_target_of_rollout ON device_target (rollout_id);

-- Writer: repo/index.c. What a version requires of other assets.
ALTER TABLE versions ADD COLUMN requires TEXT NOT NULL DEFAULT '{}'; -- JSON object: asset → range of versions (repo/range.h)
