-- A person's password, hashed with what it takes to verify it (a PHC string).
CREATE TABLE IF NOT EXISTS passwords (
    account_id TEXT NOT NULL PRIMARY KEY REFERENCES accounts (id),
    phc TEXT NOT NULL,
    set_at INTEGER NOT NULL
) STRICT;
