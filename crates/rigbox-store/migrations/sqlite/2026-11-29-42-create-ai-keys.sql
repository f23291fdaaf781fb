-- Keys that owners have at providers, encrypted with a file that is not in the database. `place` is the
-- workspace that a key is for, or nothing where it is for all of the account.
CREATE TABLE IF NOT EXISTS ai_keys (
    account_id TEXT NOT NULL REFERENCES accounts (id),
    place TEXT NOT NULL,
    provider TEXT NOT NULL,
    workspace_id TEXT REFERENCES workspaces (id) ON DELETE CASCADE,
    sealed BLOB NOT NULL,
    preview TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, place, provider),
    CHECK (place = COALESCE(workspace_id, ''))
) STRICT, WITHOUT ROWID;
