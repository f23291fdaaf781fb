-- Of an account: who it is to people, and what it may use. One without a row, as an older version makes
-- them, has the plan of its standing. A table of its own, because a column cannot be added twice.
CREATE TABLE IF NOT EXISTS profiles (
    account_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES accounts (id),
    email TEXT COLLATE "C" UNIQUE,
    display_name TEXT COLLATE "C",
    plan TEXT COLLATE "C" NOT NULL REFERENCES plans (name),
    -- The account's own numbers; the plan's where one is missing.
    overrides TEXT COLLATE "C" NOT NULL,
    disabled_at BIGINT,
    -- A document of what the account has chosen; what is missing it has not.
    preferences TEXT COLLATE "C" NOT NULL,
    updated_at BIGINT NOT NULL
);
