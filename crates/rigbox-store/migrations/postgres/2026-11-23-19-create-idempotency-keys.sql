CREATE TABLE IF NOT EXISTS idempotency_keys (
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    name TEXT COLLATE "C" NOT NULL,
    request_hash BYTEA NOT NULL,
    -- Counts claims: an answer of a claim that was taken over is refused.
    claim BIGINT NOT NULL,
    claimed_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    -- What the request has made, set in the transaction that made it.
    made TEXT COLLATE "C",
    -- The answer; none while the request is under way.
    status BIGINT,
    body TEXT COLLATE "C",
    PRIMARY KEY (account_id, name)
);
