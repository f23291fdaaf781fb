-- Roles that accounts were given on things of others. The owner of a thing needs none.
CREATE TABLE IF NOT EXISTS bindings (
    -- The account that has it.
    principal_id TEXT NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    resource_kind TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    role TEXT NOT NULL,
    -- The account that gave it.
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (principal_id, resource_kind, resource_id)
) STRICT, WITHOUT ROWID;
