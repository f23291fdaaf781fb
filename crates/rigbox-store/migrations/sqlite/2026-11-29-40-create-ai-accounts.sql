-- What an account has decided about AI for its workspaces; what is missing it has not. Where `enabled` is
-- missing, each workspace decides for itself.
CREATE TABLE IF NOT EXISTS ai_accounts (
    account_id TEXT NOT NULL PRIMARY KEY REFERENCES accounts (id),
    enabled INTEGER CHECK (enabled IN (0, 1)),
    mode TEXT,
    provider TEXT,
    model TEXT,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
