-- A command line that wants to be let in. Both codes are kept as keyed hashes.
CREATE TABLE IF NOT EXISTS device_codes (
    poll_hash BYTEA NOT NULL PRIMARY KEY,
    user_hash BYTEA NOT NULL UNIQUE,
    -- pending, approved, denied.
    decision TEXT COLLATE "C" NOT NULL,
    -- Who decided.
    account_id TEXT COLLATE "C" REFERENCES accounts (id),
    address TEXT COLLATE "C",
    user_agent TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    polled_at BIGINT,
    -- When its API key was made and handed out.
    delivered_at BIGINT
);
