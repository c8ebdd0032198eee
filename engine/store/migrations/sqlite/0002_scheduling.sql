-- Fair shares between workflows, firings by hand, and a catalog whose changes others can see.

-- The queue of each workflow, so that none waits behind another's. Contact order within a moment makes a batch touch
-- neighbouring pages.
DROP INDEX runs_due;
CREATE INDEX runs_due ON runs (workflow_id, due_at, contact_id) WHERE due_at IS NOT NULL;

-- How far it has come to offer a workflow to everybody, or to a segment: because a schedule fired, or by hand.
CREATE TABLE new_firings (
    id          INTEGER PRIMARY KEY,
    workflow_id INTEGER NOT NULL REFERENCES workflows,
    by_hand     INTEGER NOT NULL CHECK (by_hand IN (0, 1)),
    at          INTEGER NOT NULL,
    segment     TEXT,                     -- its name; it may not be there yet. NULL: everybody
    total       INTEGER NOT NULL,         -- how many contacts there were when it began
    last        INTEGER NOT NULL,         -- the last contact that was looked at
    seen        INTEGER NOT NULL,
    enrolled    INTEGER NOT NULL,
    done        INTEGER NOT NULL CHECK (done IN (0, 1))
) STRICT;

INSERT INTO new_firings (workflow_id, by_hand, at, total, last, seen, enrolled, done)
SELECT workflow_id, 0, at, 0, last, 0, 0, done FROM firings ORDER BY at, workflow_id;

DROP TABLE firings;
ALTER TABLE new_firings RENAME TO firings;

-- What makes a schedule fire once.
CREATE UNIQUE INDEX firings_of ON firings (workflow_id, at) WHERE by_hand = 0;
CREATE INDEX firings_open ON firings (at) WHERE done = 0;

-- Rises with every publication, retirement and change of the teams.
CREATE TABLE revision (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL
) STRICT;

INSERT INTO revision (id, number) VALUES (1, 0);
