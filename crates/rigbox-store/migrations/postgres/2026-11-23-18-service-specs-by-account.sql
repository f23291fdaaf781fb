CREATE INDEX IF NOT EXISTS service_specs_by_account ON service_specs (account_id, created_at, id);
