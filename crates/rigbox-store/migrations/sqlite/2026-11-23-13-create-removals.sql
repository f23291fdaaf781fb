-- Workspaces that are gone, for watchers that have not heard of it.
CREATE TABLE IF NOT EXISTS removals (
    revision INTEGER NOT NULL PRIMARY KEY,
    host_id TEXT NOT NULL,
    workspace_id TEXT NOT NULL,
    removed_at INTEGER NOT NULL
) STRICT;
