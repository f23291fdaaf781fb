CREATE INDEX IF NOT EXISTS apps_by_workspace ON apps (workspace_id, created_at, id);
