DO $$
BEGIN
    DROP TRIGGER IF EXISTS ledger_postings_not_changed ON ledger_postings;
    DROP TRIGGER IF EXISTS ledger_postings_not_truncated ON ledger_postings;
    CREATE TRIGGER ledger_postings_not_changed BEFORE UPDATE OR DELETE ON ledger_postings
        FOR EACH ROW EXECUTE FUNCTION ledger_is_only_added_to();
    CREATE TRIGGER ledger_postings_not_truncated BEFORE TRUNCATE ON ledger_postings
        FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_only_added_to();
END
$$;
