-- Somebody who signed in. Secrets are kept as keyed hashes.
CREATE TABLE IF NOT EXISTS sessions (
    id TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    -- full, or pending until the second factor is shown.
    level TEXT NOT NULL,
    carrier TEXT NOT NULL,
    hash BLOB NOT NULL,
    -- The secret before the last change of it, and until when it is good; without an end until the
    -- new one is seen.
    former_hash BLOB,
    former_until INTEGER,
    created_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    rotated_at INTEGER NOT NULL,
    address TEXT,
    user_agent TEXT
) STRICT;
