-- Ports of workspaces that are published under a name, which is theirs on the whole platform.
CREATE TABLE IF NOT EXISTS apps (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    workspace_id TEXT COLLATE "C" NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    name TEXT COLLATE "C" NOT NULL UNIQUE,
    kind TEXT COLLATE "C" NOT NULL,
    port BIGINT NOT NULL,
    protocol TEXT COLLATE "C" NOT NULL,
    active BIGINT NOT NULL,
    visibility TEXT COLLATE "C" NOT NULL,
    allowed_emails TEXT COLLATE "C" NOT NULL,
    custom_domain TEXT COLLATE "C",
    -- The same, once it was found to lead here: one app has it.
    verified_domain TEXT COLLATE "C" UNIQUE,
    description TEXT COLLATE "C",
    metadata TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    -- Position of the last change that an edge has to know, of its workspace too.
    revision BIGINT NOT NULL
);
