-- Keys that owners have at providers, encrypted with a file that is not in the database. `place` is the
-- workspace that a key is for, or nothing where it is for all of the account.
CREATE TABLE IF NOT EXISTS ai_keys (
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    place TEXT COLLATE "C" NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    workspace_id TEXT COLLATE "C" REFERENCES workspaces (id) ON DELETE CASCADE,
    sealed BYTEA NOT NULL,
    preview TEXT COLLATE "C" NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, place, provider),
    CHECK (place = COALESCE(workspace_id, ''))
);
