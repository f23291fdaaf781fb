-- What an account shows beside its password. The secret is encrypted with a key that is not here.
CREATE TABLE IF NOT EXISTS second_factors (
    account_id TEXT NOT NULL PRIMARY KEY REFERENCES accounts (id),
    sealed BLOB NOT NULL,
    -- Asked for once the first code was shown.
    confirmed_at INTEGER,
    -- The newest time step of which a code was shown: none works twice.
    last_step INTEGER NOT NULL
) STRICT;
