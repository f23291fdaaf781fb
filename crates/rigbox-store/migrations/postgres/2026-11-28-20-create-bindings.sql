-- Roles that accounts were given on things of others. The owner of a thing needs none.
CREATE TABLE IF NOT EXISTS bindings (
    -- The account that has it.
    principal_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    resource_kind TEXT COLLATE "C" NOT NULL,
    resource_id TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    -- The account that gave it.
    created_by TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (principal_id, resource_kind, resource_id)
);
