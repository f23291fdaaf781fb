CREATE TABLE IF NOT EXISTS service_specs (
    id TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    exec_start TEXT NOT NULL,
    env TEXT NOT NULL,
    environment_file TEXT,
    restart_policy TEXT NOT NULL,
    auto_enable INTEGER NOT NULL CHECK (auto_enable IN (0, 1)),
    setup_script TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (account_id, name)
) STRICT;
