CREATE INDEX IF NOT EXISTS workspaces_by_age ON workspaces (created_at, id);
