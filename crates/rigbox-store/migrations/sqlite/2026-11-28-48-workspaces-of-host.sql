CREATE INDEX IF NOT EXISTS workspaces_of_host ON workspaces (host_id, id);
