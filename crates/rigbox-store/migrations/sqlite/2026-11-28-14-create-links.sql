-- One-time links by which somebody sets a password. Their secrets are kept as keyed hashes.
CREATE TABLE IF NOT EXISTS links (
    hash BLOB NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    expires_at INTEGER NOT NULL
) STRICT;
