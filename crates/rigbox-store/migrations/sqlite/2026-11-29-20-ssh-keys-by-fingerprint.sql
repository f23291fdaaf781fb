CREATE INDEX IF NOT EXISTS ssh_keys_by_fingerprint ON ssh_keys (fingerprint);
