CREATE INDEX IF NOT EXISTS ai_keys_by_workspace ON ai_keys (workspace_id);
