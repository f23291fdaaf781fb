-- Both ends of the chain: the last entry, and what the oldest kept one follows.
CREATE TABLE IF NOT EXISTS audit_ends (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    last_seq INTEGER NOT NULL,
    last_hash BLOB NOT NULL,
    cut_seq INTEGER NOT NULL,
    cut_hash BLOB NOT NULL,
    -- Keyed hash of the two: only the platform cuts.
    cut_mac BLOB NOT NULL
) STRICT;
