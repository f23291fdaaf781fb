-- Both ends of the chain: the last entry, and what the oldest kept one follows.
CREATE TABLE IF NOT EXISTS audit_ends (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    last_seq BIGINT NOT NULL,
    last_hash BYTEA NOT NULL,
    cut_seq BIGINT NOT NULL,
    cut_hash BYTEA NOT NULL,
    -- Keyed hash of the two: only the platform cuts.
    cut_mac BYTEA NOT NULL
);
