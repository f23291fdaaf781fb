-- What happened to an account's credits. Only added to.
CREATE TABLE IF NOT EXISTS ledger_entries (
    account_id TEXT NOT NULL REFERENCES ledger_accounts (account_id),
    seq INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    amount_micro INTEGER NOT NULL,
    balance_micro INTEGER NOT NULL,
    reason TEXT NOT NULL,
    actor TEXT NOT NULL,
    -- An entry with a key is there once.
    entry_key TEXT NOT NULL,
    PRIMARY KEY (account_id, seq),
    UNIQUE (account_id, entry_key)
) STRICT;
