CREATE TABLE IF NOT EXISTS idempotency_keys (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    request_hash BLOB NOT NULL,
    -- Counts claims: an answer of a claim that was taken over is refused.
    claim INTEGER NOT NULL,
    claimed_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    -- What the request has made, set in the transaction that made it.
    made TEXT,
    -- The answer; none while the request is under way.
    status INTEGER,
    body TEXT,
    PRIMARY KEY (account_id, name)
) STRICT;
