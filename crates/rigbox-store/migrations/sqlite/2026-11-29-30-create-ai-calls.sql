-- What calls of AI providers were made, what they used and what they were charged. Nothing of what was
-- asked or answered. Without a reference to the workspace: what it has used stays when it goes.
CREATE TABLE IF NOT EXISTS ai_calls (
    request_id TEXT NOT NULL PRIMARY KEY,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    workspace_id TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    operation TEXT NOT NULL,
    mode TEXT NOT NULL,
    -- For whom, as the caller says.
    subject TEXT,
    charged_micro INTEGER NOT NULL,
    -- All that was read; of it from caches.
    input_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    -- All that was written; of it not shown.
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    -- What the charge goes by.
    basis TEXT NOT NULL,
    -- Of the provider's answer; 0 where there was none.
    status INTEGER NOT NULL,
    began_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL
) STRICT;
