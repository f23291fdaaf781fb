-- The two or more sides of each entry, which add up to zero. Only added to.
CREATE TABLE IF NOT EXISTS ledger_postings (
    account_id TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    line BIGINT NOT NULL,
    -- The account's own two, or one of the platform's.
    book TEXT COLLATE "C" NOT NULL CHECK (book IN ('granted', 'lasting', 'grants', 'top_ups', 'adjustments', 'revenue', 'expired')),
    amount_micro BIGINT NOT NULL CHECK (amount_micro <> 0),
    PRIMARY KEY (account_id, seq, line),
    FOREIGN KEY (account_id, seq) REFERENCES ledger_entries (account_id, seq)
);
