-- Scores whose points fade, as scores.yaml declares them. The same as on SQLite.

-- What a value follows from where it fades: JSON (dripline_model::score::Curve). `value` is then the sum of the entries that
-- are not cleared, whatever is left of them; `least` and `most` are the values between which the score stays if nothing
-- happens. NULL for every other score.
ALTER TABLE contact_scores ADD COLUMN curve TEXT;
ALTER TABLE contact_scores ADD COLUMN least BIGINT;
ALTER TABLE contact_scores ADD COLUMN most BIGINT;

-- What the file says of a score; NULL where it says nothing any more and contacts are still to be gone through.
CREATE TABLE score_definitions (
    score        BIGINT PRIMARY KEY,     -- word
    definition   TEXT,                    -- JSON
    published_at BIGINT NOT NULL,
    last         BIGINT                   -- the last contact for whom the points were worked out anew; NULL: all were
);

-- Points that bounds kept back, a row for each reason for which a step gives points.
CREATE TABLE score_holds (
    contact_id  BIGINT NOT NULL,
    score       BIGINT NOT NULL,         -- word
    workflow_id BIGINT NOT NULL,
    step        BIGINT NOT NULL,         -- word
    because     BIGINT NOT NULL,         -- word
    held_by     BIGINT NOT NULL,         -- 0 the lowest value, 1 the highest, 2 the step's at_most
    times       BIGINT NOT NULL,
    points      BIGINT NOT NULL,         -- how many were not given, in all
    last_at     BIGINT NOT NULL,
    PRIMARY KEY (contact_id, score, workflow_id, step, because, held_by)
);
