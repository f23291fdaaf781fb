-- Apps that are gone, for edges that have not heard of it.
CREATE TABLE IF NOT EXISTS app_removals (
    revision BIGINT NOT NULL PRIMARY KEY,
    app_id TEXT COLLATE "C" NOT NULL,
    removed_at BIGINT NOT NULL
);
