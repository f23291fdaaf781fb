CREATE INDEX IF NOT EXISTS sessions_by_account ON sessions (account_id, used_at);
