-- Names and domains that apps had: nobody else gets them at once.
CREATE TABLE IF NOT EXISTS kept_names (
    name TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    kept_until INTEGER NOT NULL,
    UNIQUE (account_id, name)
) STRICT;
