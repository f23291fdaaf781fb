CREATE INDEX IF NOT EXISTS ledger_holds_by_age ON ledger_holds (state, held_at, request_id);
