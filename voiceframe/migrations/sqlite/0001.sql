-- Version 1 of the store. Personal values stand in columns of their own, so that they can be emptied and nothing else.

-- One row per call, kept up to date from its events.
CREATE TABLE calls (
    call        TEXT    NOT NULL PRIMARY KEY,
    tenant      TEXT    NOT NULL,
    environment TEXT    NOT NULL,
    trace       TEXT    NOT NULL,
    direction   TEXT,
    started_ms  INTEGER NOT NULL,   -- wall time; of the first event that was kept, until call.started is
    answered_ms INTEGER,
    ended_ms    INTEGER,
    duration_ms INTEGER,
    reason      TEXT,
    erased_ms   INTEGER
) STRICT;

CREATE INDEX calls_by_start ON calls (started_ms);
CREATE INDEX calls_by_tenant ON calls (tenant, started_ms);

-- Who spoke with whom. Apart from calls because a row that is updated grows, moves and may leave a copy of itself in its
-- old page; rows here are written once, and erased in place.
CREATE TABLE parties (
    id    INTEGER NOT NULL PRIMARY KEY,
    call  TEXT    NOT NULL UNIQUE,
    from_ TEXT,                     -- personal
    to_   TEXT                      -- personal
) STRICT;

-- The log. Rows are appended by rowid and never moved, for the same reason.
CREATE TABLE events (
    id          INTEGER NOT NULL PRIMARY KEY,
    call        TEXT    NOT NULL,
    writer      TEXT    NOT NULL,
    seq         INTEGER NOT NULL,
    ulid        TEXT    NOT NULL UNIQUE,
    at_ms       INTEGER NOT NULL,
    wall_ms     INTEGER NOT NULL,
    tenant      TEXT    NOT NULL,
    environment TEXT    NOT NULL,
    trace       TEXT    NOT NULL,
    turn        INTEGER,
    kind        TEXT    NOT NULL,
    version     INTEGER NOT NULL,
    data        TEXT    NOT NULL,   -- JSON
    personal    TEXT,               -- JSON; NULL once it was erased
    UNIQUE (call, writer, seq)
) STRICT;

CREATE INDEX events_by_time ON events (call, at_ms);
CREATE INDEX events_by_kind ON events (kind, wall_ms);
