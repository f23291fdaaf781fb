-- Links that let whoever has one visit an app. Their secrets are kept as keyed hashes.
CREATE TABLE IF NOT EXISTS share_links (
    app_id TEXT COLLATE "C" NOT NULL REFERENCES apps (id) ON DELETE CASCADE,
    id TEXT COLLATE "C" NOT NULL UNIQUE,
    hash BYTEA NOT NULL UNIQUE,
    name TEXT COLLATE "C",
    created_by TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (app_id, id)
);
