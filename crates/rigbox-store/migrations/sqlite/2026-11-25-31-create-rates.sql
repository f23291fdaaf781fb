-- A bucket is known by when it is full again.
CREATE TABLE IF NOT EXISTS rates (
    account_id TEXT NOT NULL,
    class TEXT NOT NULL,
    full_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, class)
) STRICT, WITHOUT ROWID;
