CREATE TABLE IF NOT EXISTS api_keys (
    id TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    -- Not secret; finds the row.
    prefix TEXT NOT NULL UNIQUE,
    -- HMAC-SHA-256 of the whole key.
    hash BLOB NOT NULL,
    name TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER
) STRICT;
