-- Names and domains that apps had: nobody else gets them at once.
CREATE TABLE IF NOT EXISTS kept_names (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    kept_until BIGINT NOT NULL,
    UNIQUE (account_id, name)
);
