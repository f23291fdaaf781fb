CREATE INDEX IF NOT EXISTS removals_by_host ON removals (host_id, revision);
