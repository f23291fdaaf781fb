-- Profiles of request rates.
CREATE TABLE IF NOT EXISTS throttle_presets (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- A document of requests a minute by class; one that is missing is the platform's own.
    rules TEXT COLLATE "C" NOT NULL,
    system_managed BIGINT NOT NULL CHECK (system_managed IN (0, 1)),
    updated_at BIGINT NOT NULL
);
