-- How often in a row something was guessed wrong. Buckets are hashes of few bits: bounded in number.
CREATE TABLE IF NOT EXISTS throttles (
    bucket TEXT NOT NULL PRIMARY KEY,
    failures INTEGER NOT NULL,
    -- Before that nothing is tried.
    open_at INTEGER NOT NULL,
    touched_at INTEGER NOT NULL
) STRICT;
