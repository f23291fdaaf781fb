-- What browsers show to apps. Each rests on a session or on a share link, and ends with it.
CREATE TABLE IF NOT EXISTS app_cookies (
    hash BYTEA NOT NULL PRIMARY KEY,
    app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    session_id TEXT COLLATE "C" REFERENCES sessions (id) ON DELETE CASCADE,
    link_id TEXT COLLATE "C" REFERENCES share_links (id) ON DELETE CASCADE,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    UNIQUE (app_id, hash),
    UNIQUE (session_id, hash),
    UNIQUE (link_id, hash)
);
