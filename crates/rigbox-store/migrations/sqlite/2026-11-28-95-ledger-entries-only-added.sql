CREATE TRIGGER IF NOT EXISTS ledger_entries_not_changed BEFORE UPDATE ON ledger_entries BEGIN
    SELECT RAISE(ABORT, 'the ledger is only added to');
END;
CREATE TRIGGER IF NOT EXISTS ledger_entries_not_deleted BEFORE DELETE ON ledger_entries BEGIN
    SELECT RAISE(ABORT, 'the ledger is only added to');
END;
-- Nor replaced, which would delete without a word.
CREATE TRIGGER IF NOT EXISTS ledger_entries_not_replaced BEFORE INSERT ON ledger_entries
WHEN EXISTS (SELECT 1 FROM ledger_entries AS old WHERE old.account_id = NEW.account_id AND (old.seq = NEW.seq OR old.entry_key = NEW.entry_key)) BEGIN
    SELECT RAISE(ABORT, 'the ledger is only added to');
END;
