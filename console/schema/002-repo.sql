-- The index of assets.git. Git is the truth; `locum repo reindex` remakes these tables from it.

-- How far the index has followed main. Written by repo/index.c.
CREATE TABLE repo_head (
    id        INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    commit_id TEXT    NOT NULL,               -- git id, hex
    number    INTEGER NOT NULL                -- of that commit on main, the first is 1
) STRICT;

-- Assets by their newest version. Written by repo/index.c.
CREATE TABLE assets (
    product      TEXT    NOT NULL,
    name         TEXT    NOT NULL,
    kind         TEXT    NOT NULL,            -- app | module | model | data | config | bootloader | mcu | diagnostic
    newest       TEXT    NOT NULL,            -- version that was published last
    versions     INTEGER NOT NULL,            -- how many there are
    published_at INTEGER NOT NULL,            -- of the newest, Unix seconds
    PRIMARY KEY (product, name)
) STRICT;

-- Versions of assets. Written by repo/index.c.
CREATE TABLE versions (
    number       INTEGER NOT NULL PRIMARY KEY, -- of the commit on main: the order of publication
    product      TEXT    NOT NULL,
    asset        TEXT    NOT NULL,
    version      TEXT    NOT NULL,            -- semantic version
    manifest     TEXT    NOT NULL,            -- sha256 of manifest.json, hex
    commit_id    TEXT    NOT NULL,            -- git id, hex
    activation   TEXT    NOT NULL,            -- notify | restart
    counter      INTEGER NOT NULL,            -- security counter
    published_at INTEGER NOT NULL,            -- Unix seconds
    files        INTEGER NOT NULL,            -- how many
    length       INTEGER NOT NULL,            -- bytes of all files
    author       TEXT    NOT NULL,
    title        TEXT,
    notes        TEXT,
    hardware     TEXT    NOT NULL,            -- JSON array of revisions; [] is all
    listed       INTEGER NOT NULL DEFAULT 0,  -- 1: the signed metadata list it, devices may install it
    UNIQUE (product, asset, version),
    FOREIGN KEY (product, asset) REFERENCES assets (product, name)
) STRICT;
CREATE INDEX versions_by_asset ON versions (product, asset, number);

-- What happened to assets, one row a commit. Written by repo/index.c.
CREATE TABLE history (
    number    INTEGER NOT NULL PRIMARY KEY,   -- of the commit on main
    commit_id TEXT    NOT NULL,               -- git id, hex
    product   TEXT    NOT NULL,
    asset     TEXT    NOT NULL,               -- '' for all assets of the product
    what      TEXT    NOT NULL,               -- publish | release | group_release | withdraw | list (signed anew)
    version   TEXT,                           -- NULL for list
    author    TEXT    NOT NULL,
    message   TEXT    NOT NULL,               -- the commit's: first line and notes
    at        INTEGER NOT NULL                -- Unix seconds
) STRICT;
CREATE INDEX history_by_asset ON history (product, asset, number);
