-- Quiet hours, caps over all campaigns, steps that expire, workflows that are paused.

-- When the step where the run stands was due first, if it has been put off since. NULL: at `due_at`.
ALTER TABLE runs ADD COLUMN first_due_at BIGINT;

-- What a contact was sent lately, for the caps: bounded by their time, however long the contact has been known.
CREATE INDEX messages_of ON messages (contact_id, queued_at);

-- The last time that it was paused; while `resumed_at` is NULL it still is, and none of its runs goes on.
ALTER TABLE workflows ADD COLUMN paused_at BIGINT;
ALTER TABLE workflows ADD COLUMN resumed_at BIGINT;
