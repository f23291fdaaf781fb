-- A bucket is known by when it is full again. Unlogged: after a crash all buckets are full, which
-- is worth a write to the log for each burst of requests.
CREATE UNLOGGED TABLE IF NOT EXISTS rates (
    account_id TEXT COLLATE "C" NOT NULL,
    class TEXT COLLATE "C" NOT NULL,
    full_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, class)
);
