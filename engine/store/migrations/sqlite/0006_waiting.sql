-- Runs that wait for something to happen: an event of the contact, or a condition on it. What they wait for is known while
-- they stand at the step; `due_at` is when they are looked at without anything having happened.
ALTER TABLE runs ADD COLUMN waits_for INTEGER;   -- 0 an event, 1 a condition
ALTER TABLE runs ADD COLUMN waits_since INTEGER; -- when the run came to the step
ALTER TABLE runs ADD COLUMN waits_until INTEGER; -- the last moment that counts

-- From what happens to a contact to the runs that wait for it, and to no others.
CREATE INDEX runs_waiting ON runs (contact_id) WHERE waits_for IS NOT NULL;

-- The attributes whose changes start a workflow, by the workflow's current version: no other change is made an event.
CREATE TABLE watched_attributes (
    workflow_id INTEGER NOT NULL,
    name        TEXT NOT NULL,
    PRIMARY KEY (workflow_id, name)
) STRICT, WITHOUT ROWID;
