-- What may be forgotten is found by its age, a slice at a time.

CREATE INDEX events_old ON events (at) WHERE state <> 1;
-- A run's decisions go when the run has ended long ago: one entry for each run, not for each decision.
CREATE INDEX runs_ended ON runs (ended_at) WHERE ended_at IS NOT NULL;
CREATE INDEX decisions_refused ON decisions (at) WHERE run_id IS NULL;
CREATE INDEX score_entries_cleared ON score_entries (cleared_at) WHERE cleared_at IS NOT NULL;

-- How far it has come to look for old rows, by their times and ids.
CREATE TABLE retention (
    what INTEGER PRIMARY KEY,
    at   INTEGER NOT NULL,
    id   INTEGER NOT NULL
) STRICT;
