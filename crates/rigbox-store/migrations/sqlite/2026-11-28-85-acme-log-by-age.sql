CREATE INDEX IF NOT EXISTS acme_log_by_age ON acme_log (directory, begun_at);
