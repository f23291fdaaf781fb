CREATE INDEX IF NOT EXISTS apps_by_account ON apps (account_id, created_at, id);
