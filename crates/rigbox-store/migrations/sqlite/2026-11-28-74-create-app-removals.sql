-- Apps that are gone, for edges that have not heard of it.
CREATE TABLE IF NOT EXISTS app_removals (
    revision INTEGER NOT NULL PRIMARY KEY,
    app_id TEXT NOT NULL,
    removed_at INTEGER NOT NULL
) STRICT;
