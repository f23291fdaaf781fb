-- Who an account is to providers of OpenID Connect: issuer and subject, which never change. The address is
-- what the provider said last, for people to read; nothing is looked up by it.
CREATE TABLE IF NOT EXISTS identities (
    issuer TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    provider TEXT COLLATE "C" NOT NULL,
    email TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject),
    UNIQUE (account_id, issuer)
);
