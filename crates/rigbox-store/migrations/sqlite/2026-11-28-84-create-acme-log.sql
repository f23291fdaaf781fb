-- When orders were begun: authorities limit how many.
CREATE TABLE IF NOT EXISTS acme_log (
    id TEXT NOT NULL PRIMARY KEY,
    directory TEXT NOT NULL,
    begun_at INTEGER NOT NULL
) STRICT;
