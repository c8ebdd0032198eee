-- Experiments: who is in which arm and has reached the goal, and what was decided.

-- A contact is in one arm of an experiment at most, in whichever version and however often it comes by.
CREATE TABLE experiment_entries (
    contact_id  INTEGER NOT NULL,
    workflow_id INTEGER NOT NULL,
    step        INTEGER NOT NULL,         -- word: the step's id
    arm         INTEGER NOT NULL,         -- word
    version_id  INTEGER NOT NULL,         -- whose goal it is
    entered_at  INTEGER NOT NULL,
    until       INTEGER NOT NULL,         -- the last moment at which the goal counts
    reached_at  INTEGER,
    PRIMARY KEY (contact_id, workflow_id, step)
) STRICT, WITHOUT ROWID;

-- The counts are counts of its entries.
CREATE INDEX experiment_entries_of ON experiment_entries (workflow_id, step, arm, until, reached_at);

CREATE TABLE experiments (
    workflow_id INTEGER NOT NULL,
    step        INTEGER NOT NULL,         -- word
    looks       INTEGER NOT NULL,         -- how often the arms were compared
    next_size   INTEGER NOT NULL,         -- contacts that each arm needs for the next time
    asked_at    INTEGER,                  -- when it was last asked whether they are there
    winner      TEXT,
    decided_at  INTEGER,
    decided_by  INTEGER,                  -- 0 the test, 1 the date, 2 a person
    p_value     REAL,
    counts      TEXT,                     -- JSON: what was counted then, by arm
    PRIMARY KEY (workflow_id, step)
) STRICT, WITHOUT ROWID;

-- Runs that belong to another: the paths of a `parallel`, and runs of a workflow that a step called and waits for.
ALTER TABLE runs ADD COLUMN parent_id INTEGER;   -- the run that waits for this one
ALTER TABLE runs ADD COLUMN parent_turn INTEGER; -- in which of its turns that one began it
ALTER TABLE runs ADD COLUMN path      INTEGER;   -- word: which path of a `parallel` it is
ALTER TABLE runs ADD COLUMN inputs    TEXT;      -- JSON object: with what it was called
ALTER TABLE runs ADD COLUMN depth     INTEGER;   -- calls inside one another that led to it

CREATE INDEX runs_children ON runs (parent_id) WHERE parent_id IS NOT NULL;

-- Nobody is in one lane of a workflow twice at a time; paths of a run are not counted, for each is something of its own here.
DROP INDEX runs_active;
CREATE UNIQUE INDEX runs_active ON runs (contact_id, workflow_id, lane, coalesce(id + path * 0, 0)) WHERE status = 0;
