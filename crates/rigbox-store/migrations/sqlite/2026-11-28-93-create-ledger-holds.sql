-- What a request may still cost. One that is settled stays, so that it is not charged again.
CREATE TABLE IF NOT EXISTS ledger_holds (
    request_id TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES ledger_accounts (account_id),
    amount_micro INTEGER NOT NULL CHECK (amount_micro >= 0),
    state TEXT NOT NULL CHECK (state IN ('held', 'settled', 'released')),
    settled_micro INTEGER NOT NULL,
    -- For whom, and which process works on it.
    actor TEXT NOT NULL,
    holder TEXT NOT NULL,
    held_at INTEGER NOT NULL,
    ended_at INTEGER
) STRICT;
