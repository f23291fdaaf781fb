CREATE TABLE IF NOT EXISTS plans (
    name TEXT NOT NULL PRIMARY KEY,
    -- A document of numbers by their names; one that is missing is no limit.
    quotas TEXT NOT NULL
) STRICT;
