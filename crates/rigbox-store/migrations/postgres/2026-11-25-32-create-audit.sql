-- Only added to, and cut off at the old end. No references: the record outlives what it is about.
CREATE TABLE IF NOT EXISTS audit (
    seq BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    stage TEXT COLLATE "C" NOT NULL,
    request_id TEXT COLLATE "C" NOT NULL,
    action TEXT COLLATE "C" NOT NULL,
    account_id TEXT COLLATE "C",
    actor TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C",
    target TEXT COLLATE "C" NOT NULL,
    status BIGINT,
    code TEXT COLLATE "C",
    -- HMAC-SHA-256 over the entry and the hash before it.
    hash BYTEA NOT NULL
);
