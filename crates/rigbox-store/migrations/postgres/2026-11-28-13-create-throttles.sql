-- How often in a row something was guessed wrong. Buckets are hashes of few bits: bounded in number.
CREATE TABLE IF NOT EXISTS throttles (
    bucket TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    failures BIGINT NOT NULL,
    -- Before that nothing is tried.
    open_at BIGINT NOT NULL,
    touched_at BIGINT NOT NULL
);
