-- Who published what, when and why. What was published before has no row here.
CREATE TABLE publications (
    id      INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    author  TEXT NOT NULL,
    note    TEXT,
    changes TEXT NOT NULL,                -- JSON: what it published, retired and moved
    fields  TEXT                          -- fields.yaml as it was then, if there was one
) STRICT;

-- Without a reference: a release that does not know the column goes on beside this one.
ALTER TABLE workflow_versions ADD COLUMN publication_id INTEGER;

-- The number of the older version whose program this one has again.
ALTER TABLE workflow_versions ADD COLUMN restores INTEGER;
