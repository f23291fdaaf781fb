-- Links that let whoever has one visit an app. Their secrets are kept as keyed hashes.
CREATE TABLE IF NOT EXISTS share_links (
    app_id TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    id TEXT NOT NULL UNIQUE,
    hash BLOB NOT NULL UNIQUE,
    name TEXT,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (app_id, id)
) STRICT;
