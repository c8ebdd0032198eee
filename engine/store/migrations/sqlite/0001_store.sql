-- Dripline's contact store, version 1.
--
-- Instants are INTEGER milliseconds since the epoch, UTC. JSON is JSONB in a BLOB. Keys are integers, because a row that
-- names a contact by eight bytes or fewer is what makes batches fast (docs/performance.md). Codes (status, kind) are the
-- positions in the enums of the same name. What steps change lies in narrow tables, apart from what is wide.

-- "Drip": how a Dripline database is told from anybody else's.
PRAGMA application_id = 1148348784;

-- Texts that repeat thousands of times (reasons, score names, tags, topics, event names), stored once. Columns that hold
-- the id of a word say so; they carry no foreign key, because a word is never deleted and the check would cost a lookup
-- for each row of the hot tables.
CREATE TABLE words (
    id   INTEGER PRIMARY KEY,
    word TEXT NOT NULL UNIQUE
) STRICT;

-- Contacts -----------------------------------------------------------------------------------------------------------

CREATE TABLE contacts (
    id          INTEGER PRIMARY KEY,
    uid         BLOB NOT NULL,            -- ULID, the name for the world outside
    external_id TEXT UNIQUE,              -- the caller's own key
    email       TEXT UNIQUE,              -- lower case
    attributes  BLOB NOT NULL,            -- JSONB object
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL,
    CHECK (external_id IS NOT NULL OR email IS NOT NULL)
) STRICT;

-- The names of all attributes ever stored, so that the checker need not read every contact to know them.
CREATE TABLE attribute_names (
    name TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE contact_scores (
    contact_id INTEGER NOT NULL,
    score      INTEGER NOT NULL,          -- word
    value      INTEGER NOT NULL,
    PRIMARY KEY (contact_id, score)
) STRICT, WITHOUT ROWID;

CREATE TABLE contact_tags (
    contact_id INTEGER NOT NULL,
    tag        INTEGER NOT NULL,          -- word
    PRIMARY KEY (contact_id, tag)
) STRICT, WITHOUT ROWID;

CREATE TABLE consents (
    contact_id INTEGER NOT NULL REFERENCES contacts,
    topic      INTEGER NOT NULL,          -- word
    given      INTEGER NOT NULL CHECK (given IN (0, 1)),
    at         INTEGER NOT NULL,
    PRIMARY KEY (contact_id, topic)
) STRICT, WITHOUT ROWID;

CREATE TABLE segments (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE segment_members (
    contact_id INTEGER NOT NULL REFERENCES contacts,
    segment_id INTEGER NOT NULL REFERENCES segments,
    joined_at  INTEGER NOT NULL,
    PRIMARY KEY (contact_id, segment_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX segment_members_of ON segment_members (segment_id, contact_id);

-- What happened to contacts. `state`: 0 history, 1 live and not dealt with yet, 2 live and dealt with.
CREATE TABLE events (
    id         INTEGER PRIMARY KEY,
    key        TEXT,                      -- the caller's, makes a second import a no-op
    contact_id INTEGER NOT NULL REFERENCES contacts,
    name       INTEGER NOT NULL,          -- word
    at         INTEGER NOT NULL,
    state      INTEGER NOT NULL CHECK (state IN (0, 1, 2)),
    properties BLOB                       -- JSONB object; NULL where there are none
) STRICT;

CREATE UNIQUE INDEX events_key ON events (key) WHERE key IS NOT NULL;
CREATE INDEX events_of ON events (contact_id, at);
CREATE INDEX events_pending ON events (at) WHERE state = 1;

-- Teams --------------------------------------------------------------------------------------------------------------

-- Who is gone from teams.yaml stays, inactive, because assignments name them.
CREATE TABLE representatives (
    id       INTEGER PRIMARY KEY,
    key      TEXT NOT NULL UNIQUE,
    name     TEXT NOT NULL,
    email    TEXT,
    position INTEGER NOT NULL,            -- in the file
    active   INTEGER NOT NULL CHECK (active IN (0, 1))
) STRICT;

CREATE TABLE teams (
    id       INTEGER PRIMARY KEY,
    key      TEXT NOT NULL UNIQUE,
    name     TEXT NOT NULL,
    position INTEGER NOT NULL             -- in the file
) STRICT;

CREATE TABLE team_members (
    team_id  INTEGER NOT NULL REFERENCES teams ON DELETE CASCADE,
    position INTEGER NOT NULL,            -- in the file
    rep_id   INTEGER NOT NULL REFERENCES representatives,
    weight   INTEGER NOT NULL,
    PRIMARY KEY (team_id, position)
) STRICT, WITHOUT ROWID;

-- Every time that a contact was handed to a representative. The team is a word, since teams come and go.
CREATE TABLE assignments (
    id         INTEGER PRIMARY KEY,
    contact_id INTEGER NOT NULL REFERENCES contacts,
    rep_id     INTEGER NOT NULL REFERENCES representatives,
    team       INTEGER,                   -- word
    because    INTEGER NOT NULL,          -- word
    at         INTEGER NOT NULL,
    run_id     INTEGER NOT NULL,
    turn       INTEGER NOT NULL
) STRICT;

CREATE INDEX assignments_of ON assignments (contact_id);

-- The assignment that holds.
CREATE TABLE owners (
    contact_id    INTEGER PRIMARY KEY REFERENCES contacts,
    assignment_id INTEGER NOT NULL REFERENCES assignments,
    rep_id        INTEGER NOT NULL REFERENCES representatives
) STRICT;

-- Workflows ----------------------------------------------------------------------------------------------------------

CREATE TABLE workflows (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    retired_at INTEGER                    -- gone from the workspace: enrols nobody any more
) STRICT;

-- Never changed once written: runs stay on the version that they started on.
CREATE TABLE workflow_versions (
    id           INTEGER PRIMARY KEY,
    workflow_id  INTEGER NOT NULL REFERENCES workflows,
    number       INTEGER NOT NULL,        -- from 1
    digest       TEXT NOT NULL,           -- of the program
    program      TEXT NOT NULL,           -- JSON
    source       TEXT NOT NULL,           -- the file as its author wrote it
    published_at INTEGER NOT NULL,
    UNIQUE (workflow_id, number)
) STRICT;

CREATE TABLE plugins (
    digest  TEXT PRIMARY KEY,             -- SHA-256 of the code
    name    TEXT NOT NULL,
    version TEXT NOT NULL,
    wasm    BLOB NOT NULL
) STRICT;

CREATE TABLE templates (
    digest TEXT PRIMARY KEY,              -- SHA-256 of the source
    source TEXT NOT NULL
) STRICT;

CREATE TABLE plugin_state (
    plugin TEXT NOT NULL,
    key    TEXT NOT NULL,
    value  BLOB NOT NULL,
    PRIMARY KEY (plugin, key)
) STRICT, WITHOUT ROWID;

-- How far the firing of a schedule has come; its key is what makes it fire once.
CREATE TABLE firings (
    workflow_id INTEGER NOT NULL REFERENCES workflows,
    at          INTEGER NOT NULL,
    last        INTEGER NOT NULL,         -- the last contact that was looked at
    done        INTEGER NOT NULL CHECK (done IN (0, 1)),
    PRIMARY KEY (workflow_id, at)
) STRICT, WITHOUT ROWID;

-- Runs ---------------------------------------------------------------------------------------------------------------

CREATE TABLE runs (
    id          INTEGER PRIMARY KEY,
    workflow_id INTEGER NOT NULL REFERENCES workflows,
    version_id  INTEGER NOT NULL REFERENCES workflow_versions,
    contact_id  INTEGER NOT NULL REFERENCES contacts,
    node        INTEGER NOT NULL,
    status      INTEGER NOT NULL,
    due_at      INTEGER,                  -- exactly while the run is active
    turn        INTEGER NOT NULL,
    attempts    INTEGER NOT NULL,
    hops        INTEGER NOT NULL,
    enrolled_at INTEGER NOT NULL,
    ended_at    INTEGER,
    event_id    INTEGER,                  -- what triggered it
    CHECK ((status = 0) = (due_at IS NOT NULL))
) STRICT;

-- The queue. Contact order within a moment makes a batch touch neighbouring pages.
CREATE INDEX runs_due ON runs (due_at, contact_id) WHERE due_at IS NOT NULL;
-- Nobody is in one workflow twice at a time.
CREATE UNIQUE INDEX runs_active ON runs (contact_id, workflow_id) WHERE status = 0;
-- An event starts a run once; and the way from a contact to its runs.
CREATE UNIQUE INDEX runs_of ON runs (contact_id, workflow_id, event_id);
CREATE INDEX runs_failed ON runs (id) WHERE status = 2;

-- The tables below are only ever appended to together with the run that they name, so that foreign keys would check on
-- every row what cannot be otherwise.

CREATE TABLE decisions (
    id         INTEGER PRIMARY KEY,
    run_id     INTEGER,                   -- NULL where the contact was not enrolled
    version_id INTEGER NOT NULL,
    contact_id INTEGER NOT NULL,
    node       INTEGER,
    turn       INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    kind       INTEGER NOT NULL,
    reason     INTEGER NOT NULL,          -- word
    event_id   INTEGER
) STRICT;

CREATE INDEX decisions_of ON decisions (contact_id, run_id);

-- Every change of a score by a step. Entries that a step took back (to work the score out anew) are cleared, not gone.
CREATE TABLE score_entries (
    id          INTEGER PRIMARY KEY,
    contact_id  INTEGER NOT NULL,
    score       INTEGER NOT NULL,         -- word
    points      INTEGER NOT NULL,         -- really added, after the bounds
    total       INTEGER NOT NULL,         -- the score then
    because     INTEGER NOT NULL,         -- word
    at          INTEGER NOT NULL,
    run_id      INTEGER NOT NULL,
    turn        INTEGER NOT NULL,
    workflow_id INTEGER NOT NULL,
    step        INTEGER NOT NULL,         -- word: the step's id, the same in every version
    cleared_at  INTEGER
) STRICT;

CREATE INDEX score_entries_of ON score_entries (contact_id, score);

-- The outbox. Run, turn and effect are the key that keeps one message from being queued twice.
CREATE TABLE messages (
    id         INTEGER PRIMARY KEY,
    run_id     INTEGER NOT NULL,
    turn       INTEGER NOT NULL,
    effect     INTEGER NOT NULL,
    contact_id INTEGER NOT NULL,
    version_id INTEGER NOT NULL,
    node       INTEGER NOT NULL,
    template   INTEGER NOT NULL,          -- word
    topic      INTEGER,                   -- word
    transactional INTEGER NOT NULL CHECK (transactional IN (0, 1)),
    status     INTEGER NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    due_at     INTEGER,                   -- exactly while queued
    queued_at  INTEGER NOT NULL,
    sent_at    INTEGER,
    recipient  TEXT NOT NULL,
    subject    TEXT NOT NULL,
    message_id TEXT,
    detail     TEXT,
    CHECK ((status = 0) = (due_at IS NOT NULL))
) STRICT;

CREATE UNIQUE INDEX messages_key ON messages (run_id, turn, effect);
CREATE INDEX messages_due ON messages (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX messages_sending ON messages (id) WHERE status = 1;
-- Covers the counts of sent messages by template and by day.
CREATE INDEX messages_sent ON messages (sent_at, template) WHERE sent_at IS NOT NULL;

-- The exact bytes that went on the wire, apart from the rows that the outbox turns over.
CREATE TABLE message_sources (
    message_id INTEGER PRIMARY KEY,
    source     BLOB NOT NULL
) STRICT;
