-- Those that wait are counted with each one more.
CREATE INDEX IF NOT EXISTS device_codes_by_end ON device_codes (expires_at);
