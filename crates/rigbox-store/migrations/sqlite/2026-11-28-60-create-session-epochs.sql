-- How often all sessions of an account have ended at once. A sign-in that began before such an end makes
-- no session after it.
CREATE TABLE IF NOT EXISTS session_epochs (
    account_id TEXT NOT NULL PRIMARY KEY REFERENCES accounts (id),
    epoch INTEGER NOT NULL
) STRICT;
