-- Which profile of request rates an account has, where it has one.
CREATE TABLE IF NOT EXISTS throttle_bindings (
    account_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    profile TEXT COLLATE "C" NOT NULL REFERENCES throttle_presets (name)
);
