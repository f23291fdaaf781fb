-- The two or more sides of each entry, which add up to zero. Only added to.
CREATE TABLE IF NOT EXISTS ledger_postings (
    account_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    line INTEGER NOT NULL,
    -- The account's own two, or one of the platform's.
    book TEXT NOT NULL CHECK (book IN ('granted', 'lasting', 'grants', 'top_ups', 'adjustments', 'revenue', 'expired')),
    amount_micro INTEGER NOT NULL CHECK (amount_micro <> 0),
    PRIMARY KEY (account_id, seq, line),
    FOREIGN KEY (account_id, seq) REFERENCES ledger_entries (account_id, seq)
) STRICT;
