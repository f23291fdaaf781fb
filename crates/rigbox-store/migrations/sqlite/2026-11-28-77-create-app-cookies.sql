-- What browsers show to apps. Each rests on a session or on a share link, and ends with it.
CREATE TABLE IF NOT EXISTS app_cookies (
    hash BLOB NOT NULL PRIMARY KEY,
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    session_id TEXT REFERENCES sessions (id) ON DELETE CASCADE,
    link_id TEXT REFERENCES share_links (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    UNIQUE (app_id, hash),
    UNIQUE (session_id, hash),
    UNIQUE (link_id, hash)
) STRICT;
