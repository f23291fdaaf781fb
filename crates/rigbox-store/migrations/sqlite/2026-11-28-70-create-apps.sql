-- Ports of workspaces that are published under a name, which is theirs on the whole platform.
CREATE TABLE IF NOT EXISTS apps (
    id TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    workspace_id TEXT NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    name TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    port INTEGER NOT NULL,
    protocol TEXT NOT NULL,
    active INTEGER NOT NULL,
    visibility TEXT NOT NULL,
    allowed_emails TEXT NOT NULL,
    custom_domain TEXT,
    -- The same, once it was found to lead here: one app has it.
    verified_domain TEXT UNIQUE,
    description TEXT,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    -- Position of the last change that an edge has to know, of its workspace too.
    revision INTEGER NOT NULL
) STRICT;
