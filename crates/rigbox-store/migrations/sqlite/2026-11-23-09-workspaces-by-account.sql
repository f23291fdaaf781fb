CREATE INDEX IF NOT EXISTS workspaces_by_account ON workspaces (account_id, created_at, id);
