-- What happened to an account's credits. Only added to.
CREATE TABLE IF NOT EXISTS ledger_entries (
    account_id TEXT COLLATE "C" NOT NULL REFERENCES ledger_accounts (account_id),
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    amount_micro BIGINT NOT NULL,
    balance_micro BIGINT NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    -- An entry with a key is there once.
    entry_key TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (account_id, seq),
    UNIQUE (account_id, entry_key)
);
