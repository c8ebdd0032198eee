-- Experiments: who is in which arm and has reached the goal, and what was decided. The same tables as on SQLite.

-- A contact is in one arm of an experiment at most, in whichever version and however often it comes by.
CREATE TABLE experiment_entries (
    contact_id  BIGINT NOT NULL,
    workflow_id BIGINT NOT NULL,
    step        BIGINT NOT NULL,          -- word: the step's id
    arm         BIGINT NOT NULL,          -- word
    version_id  BIGINT NOT NULL,          -- whose goal it is
    entered_at  BIGINT NOT NULL,
    until       BIGINT NOT NULL,          -- the last moment at which the goal counts
    reached_at  BIGINT,
    PRIMARY KEY (contact_id, workflow_id, step)
);

-- The counts are counts of its entries.
CREATE INDEX experiment_entries_of ON experiment_entries (workflow_id, step, arm, until, reached_at);

CREATE TABLE experiments (
    workflow_id BIGINT NOT NULL,
    step        BIGINT NOT NULL,          -- word
    looks       BIGINT NOT NULL,          -- how often the arms were compared
    next_size   BIGINT NOT NULL,          -- contacts that each arm needs for the next time
    asked_at    BIGINT,                   -- when it was last asked whether they are there
    winner      TEXT,
    decided_at  BIGINT,
    decided_by  BIGINT,                   -- 0 the test, 1 the date, 2 a person
    p_value     DOUBLE PRECISION,
    counts      TEXT,                     -- JSON: what was counted then, by arm
    PRIMARY KEY (workflow_id, step)
);

-- Runs that belong to another: the paths of a `parallel`, and runs of a workflow that a step called and waits for.
ALTER TABLE runs
    ADD COLUMN parent_id BIGINT,          -- the run that waits for this one
    ADD COLUMN parent_turn INTEGER,       -- in which of its turns that one began it
    ADD COLUMN path      BIGINT,          -- word: which path of a `parallel` it is
    ADD COLUMN inputs    TEXT,            -- JSON object: with what it was called
    ADD COLUMN depth     INTEGER;         -- calls inside one another that led to it

CREATE INDEX runs_children ON runs (parent_id) WHERE parent_id IS NOT NULL;

-- Nobody is in one lane of a workflow twice at a time; paths of a run are not counted, for each is something of its own here.
DROP INDEX runs_active;
CREATE UNIQUE INDEX runs_active ON runs (contact_id, workflow_id, lane, coalesce(id + path * 0, 0)) WHERE status = 0;

-- An older program would take a path for a run, and let nobody know of its end.
UPDATE dripline SET oldest_program = 11;
