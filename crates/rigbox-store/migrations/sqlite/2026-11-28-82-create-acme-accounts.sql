-- Our accounts with authorities. Their keys are encrypted with one that is not here.
CREATE TABLE IF NOT EXISTS acme_accounts (
    directory TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
