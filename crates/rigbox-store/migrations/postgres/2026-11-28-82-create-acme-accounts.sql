-- Our accounts with authorities. Their keys are encrypted with one that is not here.
CREATE TABLE IF NOT EXISTS acme_accounts (
    directory TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);
