CREATE INDEX IF NOT EXISTS audit_by_account ON audit (account_id, seq);
