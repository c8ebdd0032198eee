-- Several processes deliver what one outbox holds.

-- Who is at it: while it is queued and claimed (then `due_at` is when the claim ends), sending, or uncertain and its
-- claimant may yet say what it knows.
ALTER TABLE messages ADD COLUMN claimed_by TEXT;
-- Exactly while sending: when the lease ends. NULL in messages that an older Dripline left sending; their lease has ended.
ALTER TABLE messages ADD COLUMN lease_until INTEGER;
