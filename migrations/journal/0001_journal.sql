-- Format 1 of the journal. A format that has been released is never edited: the next one is a file of its own.
--
-- What is true lives in `runs`, `plans`, `actors` and `records`; nothing in them changes once it is written, and the
-- triggers refuse who tries. Whoever drops the triggers still breaks the hash chain.
-- `step_heads` and `folded` are derived from `records`. They may be emptied at any time.

-- Which release reads which format, so that an older release can say which one to use instead.
CREATE TABLE formats (
    format  INTEGER PRIMARY KEY,
    release TEXT NOT NULL               -- the first release that reads it
) STRICT;
INSERT INTO formats (format, release) VALUES (1, '0.1.0');

CREATE TABLE plans (
    hash TEXT NOT NULL PRIMARY KEY,     -- SHA-256 of `json`, in hex
    json TEXT NOT NULL                  -- canonical JSON
) STRICT;

CREATE TABLE actors (
    id   INTEGER PRIMARY KEY,
    json TEXT NOT NULL UNIQUE           -- a record's hash covers this text, not the id
) STRICT;

CREATE TABLE runs (
    id         INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 134217727),
    uuid       TEXT NOT NULL UNIQUE,
    plan       TEXT NOT NULL REFERENCES plans (hash),
    runbook    TEXT NOT NULL,
    endpoint   TEXT NOT NULL,           -- JSON
    created_at INTEGER NOT NULL         -- nanoseconds since 1970, UTC
) STRICT;

-- `id` is `run * 2^36 + seq`: one integer key keeps the records of a run together and in order, and appending to the
-- end of an integer-keyed table is the cheapest insert that SQLite has.
CREATE TABLE records (
    id         INTEGER PRIMARY KEY,
    run        INTEGER GENERATED ALWAYS AS (id >> 36) VIRTUAL,
    seq        INTEGER GENERATED ALWAYS AS (id & 68719476735) VIRTUAL,
    at         INTEGER NOT NULL,        -- nanoseconds since 1970, UTC
    actor      INTEGER NOT NULL,        -- actors.id
    step       TEXT,                    -- NULL: about the run
    generation INTEGER NOT NULL,
    direction  TEXT NOT NULL,           -- forward | unwinding
    kind       TEXT NOT NULL,
    hash       BLOB NOT NULL,           -- SHA-256 (previous hash of the run || canonical record)
    payload    TEXT NOT NULL            -- JSON
) STRICT;

-- The newest epoch, and the state of a run, are read from the records themselves.
CREATE INDEX executors ON records (id) WHERE kind = 'ExecutorStarted';
CREATE INDEX run_records ON records (id) WHERE step IS NULL AND kind <> 'Called' AND kind <> 'Retried';

CREATE TRIGGER records_no_update BEFORE UPDATE ON records BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
CREATE TRIGGER records_no_delete BEFORE DELETE ON records BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
CREATE TRIGGER runs_no_update BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'runs are append-only'); END;
CREATE TRIGGER runs_no_delete BEFORE DELETE ON runs BEGIN SELECT RAISE(ABORT, 'runs are append-only'); END;
CREATE TRIGGER plans_no_update BEFORE UPDATE ON plans BEGIN SELECT RAISE(ABORT, 'plans are append-only'); END;
CREATE TRIGGER plans_no_delete BEFORE DELETE ON plans BEGIN SELECT RAISE(ABORT, 'plans are append-only'); END;
CREATE TRIGGER actors_no_update BEFORE UPDATE ON actors BEGIN SELECT RAISE(ABORT, 'actors are append-only'); END;
CREATE TRIGGER actors_no_delete BEFORE DELETE ON actors BEGIN SELECT RAISE(ABORT, 'actors are append-only'); END;

-- INSERT OR REPLACE deletes without firing delete triggers (unless the connection asks for recursive triggers).
CREATE TRIGGER records_no_replace BEFORE INSERT ON records WHEN EXISTS (SELECT 1 FROM records WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
CREATE TRIGGER runs_no_replace BEFORE INSERT ON runs
WHEN EXISTS (SELECT 1 FROM runs WHERE id = NEW.id OR uuid = NEW.uuid)
BEGIN SELECT RAISE(ABORT, 'runs are append-only'); END;
CREATE TRIGGER plans_no_replace BEFORE INSERT ON plans WHEN EXISTS (SELECT 1 FROM plans WHERE hash = NEW.hash)
BEGIN SELECT RAISE(ABORT, 'plans are append-only'); END;
CREATE TRIGGER actors_no_replace BEFORE INSERT ON actors
WHEN EXISTS (SELECT 1 FROM actors WHERE id = NEW.id OR json = NEW.json)
BEGIN SELECT RAISE(ABORT, 'actors are append-only'); END;

-- Derived: the newest state of each step, as of record `folded.seq`. Readers fold what follows.
CREATE TABLE step_heads (
    run        INTEGER NOT NULL,
    step       TEXT NOT NULL,
    generation INTEGER NOT NULL,
    state      TEXT NOT NULL,
    seq        INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (run, step)
) STRICT, WITHOUT ROWID;
CREATE TABLE folded (
    run  INTEGER PRIMARY KEY,
    seq  INTEGER NOT NULL,
    hash BLOB NOT NULL                  -- of that record: a cut-off tail shows
) STRICT;
