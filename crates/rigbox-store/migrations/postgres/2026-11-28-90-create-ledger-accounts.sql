-- What an account's entries add up to, in millionths of a credit, kept with each of them: what is left of
-- the month's grant, and what lasts, which is below zero where a call has cost more than there was.
CREATE TABLE IF NOT EXISTS ledger_accounts (
    account_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES accounts (id),
    granted_micro BIGINT NOT NULL CHECK (granted_micro >= 0),
    lasting_micro BIGINT NOT NULL,
    -- What the open holds add up to.
    held_micro BIGINT NOT NULL CHECK (held_micro >= 0),
    -- The month (UTC) that this is about, counted from the year 0.
    month BIGINT NOT NULL,
    -- What the plan has given for it, and what was charged in it.
    month_grant_micro BIGINT NOT NULL,
    month_used_micro BIGINT NOT NULL,
    -- The number of the newest entry.
    entries BIGINT NOT NULL
);
