-- Scores whose points fade, as scores.yaml declares them.

-- What a value follows from where it fades: JSON (dripline_model::score::Curve). `value` is then the sum of the entries that
-- are not cleared, whatever is left of them; `least` and `most` are the values between which the score stays if nothing
-- happens. NULL for every other score.
ALTER TABLE contact_scores ADD COLUMN curve TEXT;
ALTER TABLE contact_scores ADD COLUMN least INTEGER;
ALTER TABLE contact_scores ADD COLUMN most INTEGER;

-- What the file says of a score; NULL where it says nothing any more and contacts are still to be gone through.
CREATE TABLE score_definitions (
    score        INTEGER PRIMARY KEY,     -- word
    definition   TEXT,                    -- JSON
    published_at INTEGER NOT NULL,
    last         INTEGER                  -- the last contact for whom the points were worked out anew; NULL: all were
) STRICT;

-- Points that bounds kept back, a row for each reason for which a step gives points.
CREATE TABLE score_holds (
    contact_id  INTEGER NOT NULL,
    score       INTEGER NOT NULL,         -- word
    workflow_id INTEGER NOT NULL,
    step        INTEGER NOT NULL,         -- word
    because     INTEGER NOT NULL,         -- word
    held_by     INTEGER NOT NULL,         -- 0 the lowest value, 1 the highest, 2 the step's at_most
    times       INTEGER NOT NULL,
    points      INTEGER NOT NULL,         -- how many were not given, in all
    last_at     INTEGER NOT NULL,
    PRIMARY KEY (contact_id, score, workflow_id, step, because, held_by)
) STRICT, WITHOUT ROWID;
