CREATE INDEX IF NOT EXISTS setup_scripts_by_account ON setup_scripts (account_id, script_order, created_at, id);
