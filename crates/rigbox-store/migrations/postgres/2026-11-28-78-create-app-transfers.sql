-- Single-use tokens that carry a session of the dashboard to an app. Kept as keyed hashes.
CREATE TABLE IF NOT EXISTS app_transfers (
    hash BYTEA NOT NULL PRIMARY KEY,
    app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    -- The host name that it is for.
    name TEXT COLLATE "C" NOT NULL,
    -- SHA-256, in hexadecimal, of what the edge has given the browser.
    state TEXT COLLATE "C" NOT NULL,
    session_id TEXT COLLATE "C" NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    expires_at BIGINT NOT NULL,
    UNIQUE (session_id, hash),
    UNIQUE (app_id, hash)
);
