-- Segments that a rule decides, and who has to be looked at again.

-- What the files say of segments. Without a rule the segment is static, as is one that has no row here.
CREATE TABLE segment_rules (
    segment_id   INTEGER PRIMARY KEY REFERENCES segments,
    definition   TEXT NOT NULL,           -- JSON
    source       TEXT NOT NULL,           -- the file as its author wrote it
    dynamic      INTEGER NOT NULL CHECK (dynamic IN (0, 1)),
    published_at INTEGER NOT NULL,
    last         INTEGER NOT NULL,        -- the last contact that the first evaluation has looked at
    done         INTEGER NOT NULL CHECK (done IN (0, 1))
) STRICT;

CREATE INDEX segment_rules_new ON segment_rules (last, published_at) WHERE done = 0;

-- Contacts that have changed since they were looked at; in the future for an event whose time is yet to come.
CREATE TABLE segment_changes (
    id         INTEGER PRIMARY KEY,
    contact_id INTEGER NOT NULL,
    due_at     INTEGER NOT NULL
) STRICT;

CREATE INDEX segment_changes_due ON segment_changes (due_at);

-- When a contact's membership may next change by itself, because time goes on.
CREATE TABLE segment_timers (
    contact_id INTEGER PRIMARY KEY,
    due_at     INTEGER NOT NULL,
    repeats    INTEGER NOT NULL CHECK (repeats IN (0, 1)) -- by the calendar, without end
) STRICT;

CREATE INDEX segment_timers_due ON segment_timers (due_at);
CREATE INDEX segment_timers_once ON segment_timers (due_at) WHERE repeats = 0;

-- The events of one name of a contact, which conditions count, are found without its others.
DROP INDEX events_of;
CREATE INDEX events_of ON events (contact_id, name, at);
