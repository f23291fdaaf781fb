-- Codes that work once in place of a second factor, kept as keyed hashes.
CREATE TABLE IF NOT EXISTS recovery_codes (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    hash BLOB NOT NULL,
    PRIMARY KEY (account_id, hash)
) STRICT;
