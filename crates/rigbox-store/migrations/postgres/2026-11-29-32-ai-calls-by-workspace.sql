CREATE INDEX IF NOT EXISTS ai_calls_by_workspace ON ai_calls (workspace_id, ended_at);
