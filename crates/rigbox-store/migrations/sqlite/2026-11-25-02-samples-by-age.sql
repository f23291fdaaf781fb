CREATE INDEX IF NOT EXISTS samples_by_age ON samples (sampled_at);
