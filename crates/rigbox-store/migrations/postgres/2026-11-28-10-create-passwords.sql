-- A person's password, hashed with what it takes to verify it (a PHC string).
CREATE TABLE IF NOT EXISTS passwords (
    account_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES accounts (id),
    phc TEXT COLLATE "C" NOT NULL,
    set_at BIGINT NOT NULL
);
