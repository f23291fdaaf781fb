-- A command line that wants to be let in. Both codes are kept as keyed hashes.
CREATE TABLE IF NOT EXISTS device_codes (
    poll_hash BLOB NOT NULL PRIMARY KEY,
    user_hash BLOB NOT NULL UNIQUE,
    -- pending, approved, denied.
    decision TEXT NOT NULL,
    -- Who decided.
    account_id TEXT REFERENCES accounts (id),
    address TEXT,
    user_agent TEXT,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    polled_at INTEGER,
    -- When its API key was made and handed out.
    delivered_at INTEGER
) STRICT;
