-- Version 2: what is remembered of people between calls.

-- Rows are appended by rowid, and never grow or move: one that is changed, has expired or is erased is emptied in place,
-- and a changed one is appended anew. So no page holds a copy of a row that was emptied. For the same reason no index has
-- anything personal in it: a bucket is 20 bits of a hash, which many keys share.
CREATE TABLE memories (
    id         INTEGER NOT NULL PRIMARY KEY,
    bucket     INTEGER,             -- of tenant, namespace and key; NULL once the row was emptied, as all else
    tenant     TEXT,
    namespace  TEXT,
    key        TEXT,                -- personal
    name       TEXT,                -- personal
    value      TEXT,                -- JSON, personal
    set_ms     INTEGER,
    expires_ms INTEGER,
    call       TEXT
) STRICT;

CREATE INDEX memories_by_bucket ON memories (bucket) WHERE bucket IS NOT NULL;
CREATE INDEX memories_by_end ON memories (expires_ms) WHERE expires_ms IS NOT NULL;
