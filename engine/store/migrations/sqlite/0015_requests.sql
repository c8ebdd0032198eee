-- Requests of other programs that count once: what was answered to each, for a day.
CREATE TABLE requests (
    key    TEXT PRIMARY KEY,              -- the caller's
    digest TEXT NOT NULL,                 -- of what was asked
    answer TEXT NOT NULL,                 -- JSON
    at     INTEGER NOT NULL
) STRICT;

CREATE INDEX requests_old ON requests (at);
