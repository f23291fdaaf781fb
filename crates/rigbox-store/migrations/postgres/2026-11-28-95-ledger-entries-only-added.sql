CREATE OR REPLACE FUNCTION ledger_is_only_added_to() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is only added to';
END
$$;
DO $$
BEGIN
    DROP TRIGGER IF EXISTS ledger_entries_not_changed ON ledger_entries;
    DROP TRIGGER IF EXISTS ledger_entries_not_truncated ON ledger_entries;
    CREATE TRIGGER ledger_entries_not_changed BEFORE UPDATE OR DELETE ON ledger_entries
        FOR EACH ROW EXECUTE FUNCTION ledger_is_only_added_to();
    CREATE TRIGGER ledger_entries_not_truncated BEFORE TRUNCATE ON ledger_entries
        FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_only_added_to();
END
$$;
