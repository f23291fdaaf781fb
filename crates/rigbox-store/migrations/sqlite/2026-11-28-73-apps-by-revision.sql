CREATE INDEX IF NOT EXISTS apps_by_revision ON apps (revision);
