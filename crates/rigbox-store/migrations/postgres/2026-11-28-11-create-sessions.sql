-- Somebody who signed in. Secrets are kept as keyed hashes.
CREATE TABLE IF NOT EXISTS sessions (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    -- full, or pending until the second factor is shown.
    level TEXT COLLATE "C" NOT NULL,
    carrier TEXT COLLATE "C" NOT NULL,
    hash BYTEA NOT NULL,
    -- The secret before the last change of it, and until when it is good; without an end until the
    -- new one is seen.
    former_hash BYTEA,
    former_until BIGINT,
    created_at BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    rotated_at BIGINT NOT NULL,
    address TEXT COLLATE "C",
    user_agent TEXT COLLATE "C"
);
