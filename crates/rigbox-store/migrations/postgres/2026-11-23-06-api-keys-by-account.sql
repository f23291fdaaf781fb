CREATE INDEX IF NOT EXISTS api_keys_by_account ON api_keys (account_id, created_at, id);
