-- What an account has decided about AI for its workspaces; what is missing it has not. Where `enabled` is
-- missing, each workspace decides for itself.
CREATE TABLE IF NOT EXISTS ai_accounts (
    account_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES accounts (id),
    enabled BIGINT CHECK (enabled IN (0, 1)),
    mode TEXT COLLATE "C",
    provider TEXT COLLATE "C",
    model TEXT COLLATE "C",
    updated_at BIGINT NOT NULL
);
