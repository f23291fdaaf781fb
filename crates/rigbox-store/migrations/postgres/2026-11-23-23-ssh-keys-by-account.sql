CREATE INDEX IF NOT EXISTS ssh_keys_by_account ON ssh_keys (account_id, created_at, id);
