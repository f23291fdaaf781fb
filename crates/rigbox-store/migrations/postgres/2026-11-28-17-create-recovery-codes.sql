-- Codes that work once in place of a second factor, kept as keyed hashes.
CREATE TABLE IF NOT EXISTS recovery_codes (
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    hash BYTEA NOT NULL,
    PRIMARY KEY (account_id, hash)
);
