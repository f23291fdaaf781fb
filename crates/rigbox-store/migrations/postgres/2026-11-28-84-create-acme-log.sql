-- When orders were begun: authorities limit how many.
CREATE TABLE IF NOT EXISTS acme_log (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    directory TEXT COLLATE "C" NOT NULL,
    begun_at BIGINT NOT NULL
);
