-- Of an account: who it is to people, and what it may use. One without a row, as an older version makes
-- them, has the plan of its standing. A table of its own, because a column cannot be added twice.
CREATE TABLE IF NOT EXISTS profiles (
    account_id TEXT NOT NULL PRIMARY KEY REFERENCES accounts (id),
    email TEXT UNIQUE,
    display_name TEXT,
    plan TEXT NOT NULL REFERENCES plans (name),
    -- The account's own numbers; the plan's where one is missing.
    overrides TEXT NOT NULL,
    disabled_at INTEGER,
    -- A document of what the account has chosen; what is missing it has not.
    preferences TEXT NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
