-- Events that wait before they start a run, runs of one contact side by side, and dates of contacts.

-- Nobody is in one lane of a workflow twice at a time. All runs are in lane 0, except those of workflows that let a contact
-- have several: each of these has a lane of its own.
ALTER TABLE runs ADD COLUMN lane INTEGER NOT NULL DEFAULT 0;
DROP INDEX runs_active;
CREATE UNIQUE INDEX runs_active ON runs (contact_id, workflow_id, lane) WHERE status = 0;

-- Events that were taken and wait: until none of the kind follows, or until the run before has ended.
CREATE TABLE held_events (
    id          INTEGER PRIMARY KEY,
    workflow_id INTEGER NOT NULL,
    version_id  INTEGER NOT NULL,          -- which took it
    contact_id  INTEGER NOT NULL,
    queued      INTEGER NOT NULL CHECK (queued IN (0, 1)), -- behind a run; else for quiet
    first_at    INTEGER NOT NULL,          -- the first event of the series
    due_at      INTEGER,                   -- NULL while a run is before it
    event_id    INTEGER NOT NULL,
    name        TEXT NOT NULL,
    at          INTEGER NOT NULL,          -- of the event
    properties  TEXT                       -- of the event, a JSON object
) STRICT;

CREATE INDEX held_events_of ON held_events (contact_id, workflow_id);
CREATE INDEX held_events_due ON held_events (due_at) WHERE due_at IS NOT NULL;

-- The dates whose coming starts a workflow, of its current version. One that is changed is another.
CREATE TABLE date_triggers (
    id           INTEGER PRIMARY KEY,
    workflow_id  INTEGER NOT NULL,
    wording      TEXT NOT NULL,            -- which it is
    needs        TEXT NOT NULL,            -- JSON: what of a contact it looks at
    published_at INTEGER NOT NULL,
    last         INTEGER NOT NULL,         -- the last contact that the first evaluation has looked at
    done         INTEGER NOT NULL CHECK (done IN (0, 1)),
    UNIQUE (workflow_id, wording)
) STRICT;

CREATE INDEX date_triggers_new ON date_triggers (last, published_at) WHERE done = 0;

-- The date of a contact that comes next, and the last that came. When it comes, the contact is looked at (`segment_timers`).
CREATE TABLE contact_dates (
    trigger_id INTEGER NOT NULL,
    contact_id INTEGER NOT NULL,
    due_at     INTEGER,                    -- NULL: none is to come
    date       TEXT,                       -- the date for which that is
    came       TEXT,                       -- the last date that came or was missed
    PRIMARY KEY (trigger_id, contact_id)
) STRICT, WITHOUT ROWID;

-- What a simulation goes on to.
CREATE INDEX contact_dates_due ON contact_dates (due_at) WHERE due_at IS NOT NULL;
