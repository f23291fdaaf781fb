-- What edges answer authorities now.
CREATE TABLE IF NOT EXISTS acme_challenges (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- A document.
    challenge TEXT COLLATE "C" NOT NULL,
    -- Forgotten then, whoever was to take it down.
    ends_at BIGINT NOT NULL
);
