-- Profiles of request rates.
CREATE TABLE IF NOT EXISTS throttle_presets (
    name TEXT NOT NULL PRIMARY KEY,
    -- A document of requests a minute by class; one that is missing is the platform's own.
    rules TEXT NOT NULL,
    system_managed INTEGER NOT NULL CHECK (system_managed IN (0, 1)),
    updated_at INTEGER NOT NULL
) STRICT;
