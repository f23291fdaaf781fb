-- What an account shows beside its password. The secret is encrypted with a key that is not here.
CREATE TABLE IF NOT EXISTS second_factors (
    account_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES accounts (id),
    sealed BYTEA NOT NULL,
    -- Asked for once the first code was shown.
    confirmed_at BIGINT,
    -- The newest time step of which a code was shown: none works twice.
    last_step BIGINT NOT NULL
);
