CREATE INDEX IF NOT EXISTS ai_calls_by_account ON ai_calls (account_id, ended_at);
