CREATE TABLE IF NOT EXISTS plans (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- A document of numbers by their names; one that is missing is no limit.
    quotas TEXT COLLATE "C" NOT NULL
);
