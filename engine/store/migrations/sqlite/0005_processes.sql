-- The processes that run workflows, for people who want to know which there are.
CREATE TABLE processes (
    claimant   TEXT NOT NULL PRIMARY KEY, -- as in `messages.claimed_by`
    version    TEXT NOT NULL,             -- of the program
    host       TEXT NOT NULL,
    work       TEXT NOT NULL CHECK (work IN ('run', 'worker')),
    started_at INTEGER NOT NULL,
    seen_at    INTEGER NOT NULL,          -- by the process's own clock
    skew_ms    INTEGER                    -- its clock minus the database server's; there is none
) STRICT;
