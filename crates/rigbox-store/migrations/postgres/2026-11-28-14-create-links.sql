-- One-time links by which somebody sets a password. Their secrets are kept as keyed hashes.
CREATE TABLE IF NOT EXISTS links (
    hash BYTEA NOT NULL PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    expires_at BIGINT NOT NULL
);
