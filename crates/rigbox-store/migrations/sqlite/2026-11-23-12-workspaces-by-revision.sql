CREATE UNIQUE INDEX IF NOT EXISTS workspaces_by_revision ON workspaces (host_id, revision);
