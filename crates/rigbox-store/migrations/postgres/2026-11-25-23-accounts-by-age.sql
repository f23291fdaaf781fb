CREATE INDEX IF NOT EXISTS accounts_by_age ON accounts (created_at, id);
