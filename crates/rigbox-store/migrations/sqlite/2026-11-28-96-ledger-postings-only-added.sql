CREATE TRIGGER IF NOT EXISTS ledger_postings_not_changed BEFORE UPDATE ON ledger_postings BEGIN
    SELECT RAISE(ABORT, 'the ledger is only added to');
END;
CREATE TRIGGER IF NOT EXISTS ledger_postings_not_deleted BEFORE DELETE ON ledger_postings BEGIN
    SELECT RAISE(ABORT, 'the ledger is only added to');
END;
-- Nor replaced, which would delete without a word.
CREATE TRIGGER IF NOT EXISTS ledger_postings_not_replaced BEFORE INSERT ON ledger_postings
WHEN EXISTS (SELECT 1 FROM ledger_postings AS old WHERE old.account_id = NEW.account_id AND old.seq = NEW.seq AND old.line = NEW.line) BEGIN
    SELECT RAISE(ABORT, 'the ledger is only added to');
END;
