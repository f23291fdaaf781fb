-- Workspaces that are gone, for watchers that have not heard of it.
CREATE TABLE IF NOT EXISTS removals (
    revision BIGINT NOT NULL PRIMARY KEY,
    host_id TEXT COLLATE "C" NOT NULL,
    workspace_id TEXT COLLATE "C" NOT NULL,
    removed_at BIGINT NOT NULL
);
