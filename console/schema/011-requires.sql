-- Writer: repo/index.c. What a version requires of other assets.
ALTER TABLE versions ADD COLUMN requires TEXT NOT NULL DEFAULT '{}'; -- JSON object: asset → range of versions (repo/range.h)
