CREATE INDEX IF NOT EXISTS ai_calls_by_subject ON ai_calls (account_id, subject, began_at) WHERE subject IS NOT NULL;
