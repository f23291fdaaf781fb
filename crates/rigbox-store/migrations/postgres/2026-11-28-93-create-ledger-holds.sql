-- What a request may still cost. One that is settled stays, so that it is not charged again.
CREATE TABLE IF NOT EXISTS ledger_holds (
    request_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES ledger_accounts (account_id),
    amount_micro BIGINT NOT NULL CHECK (amount_micro >= 0),
    state TEXT COLLATE "C" NOT NULL CHECK (state IN ('held', 'settled', 'released')),
    settled_micro BIGINT NOT NULL,
    -- For whom, and which process works on it.
    actor TEXT COLLATE "C" NOT NULL,
    holder TEXT COLLATE "C" NOT NULL,
    held_at BIGINT NOT NULL,
    ended_at BIGINT
);
