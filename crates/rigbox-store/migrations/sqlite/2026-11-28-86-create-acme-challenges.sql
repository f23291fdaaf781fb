-- What edges answer authorities now.
CREATE TABLE IF NOT EXISTS acme_challenges (
    id TEXT NOT NULL PRIMARY KEY,
    -- A document.
    challenge TEXT NOT NULL,
    -- Forgotten then, whoever was to take it down.
    ends_at INTEGER NOT NULL
) STRICT;
