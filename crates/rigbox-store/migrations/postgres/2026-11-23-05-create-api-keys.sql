CREATE TABLE IF NOT EXISTS api_keys (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    -- Not secret; finds the row.
    prefix TEXT COLLATE "C" NOT NULL UNIQUE,
    -- HMAC-SHA-256 of the whole key.
    hash BYTEA NOT NULL,
    name TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    last_used_at BIGINT
);
