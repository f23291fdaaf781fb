-- Who an account is to providers of OpenID Connect: issuer and subject, which never change. The address is
-- what the provider said last, for people to read; nothing is looked up by it.
CREATE TABLE IF NOT EXISTS identities (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    provider TEXT NOT NULL,
    email TEXT,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    PRIMARY KEY (issuer, subject),
    UNIQUE (account_id, issuer)
) STRICT;
