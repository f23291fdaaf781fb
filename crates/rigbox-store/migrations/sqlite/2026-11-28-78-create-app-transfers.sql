-- Single-use tokens that carry a session of the dashboard to an app. Kept as keyed hashes.
CREATE TABLE IF NOT EXISTS app_transfers (
    hash BLOB NOT NULL PRIMARY KEY,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    -- The host name that it is for.
    name TEXT NOT NULL,
    -- SHA-256, in hexadecimal, of what the edge has given the browser.
    state TEXT NOT NULL,
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL,
    UNIQUE (session_id, hash),
    UNIQUE (app_id, hash)
) STRICT;
