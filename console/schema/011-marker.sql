-- Does a version's binary say product, asset and version (agent/include/locum_marker.h)? Writer: repo/index.c.

ALTER TABLE versions ADD COLUMN marker TEXT; -- 'marked' | 'unmarked'; NULL: a kind that carries none, or its files are gone
-- The index is made anew at the next start, so that older versions have it too.
DELETE FROM repo_head;
