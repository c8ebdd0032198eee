-- Runs that wait for a condition: whether there are any, and which of a contact, without those that wait for an event.
CREATE INDEX runs_watching ON runs (contact_id) WHERE waits_for = 1;
