-- Only added to, and cut off at the old end. No references: the record outlives what it is about.
CREATE TABLE IF NOT EXISTS audit (
    seq INTEGER NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,
    stage TEXT NOT NULL,
    request_id TEXT NOT NULL,
    action TEXT NOT NULL,
    account_id TEXT,
    actor TEXT NOT NULL,
    address TEXT,
    target TEXT NOT NULL,
    status INTEGER,
    code TEXT,
    -- HMAC-SHA-256 over the entry and the hash before it.
    hash BLOB NOT NULL
) STRICT;
