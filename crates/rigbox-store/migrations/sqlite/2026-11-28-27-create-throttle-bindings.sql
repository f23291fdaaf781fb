-- Which profile of request rates an account has, where it has one.
CREATE TABLE IF NOT EXISTS throttle_bindings (
    account_id TEXT NOT NULL PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    profile TEXT NOT NULL REFERENCES throttle_presets (name)
) STRICT;
