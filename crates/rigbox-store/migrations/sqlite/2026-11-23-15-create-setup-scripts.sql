CREATE TABLE IF NOT EXISTS setup_scripts (
    id TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name TEXT NOT NULL,
    content TEXT NOT NULL,
    run_on TEXT NOT NULL,
    script_order INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
