-- What calls of AI providers were made, what they used and what they were charged. Nothing of what was
-- asked or answered. Without a reference to the workspace: what it has used stays when it goes.
CREATE TABLE IF NOT EXISTS ai_calls (
    request_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    workspace_id TEXT COLLATE "C" NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    model TEXT COLLATE "C" NOT NULL,
    operation TEXT COLLATE "C" NOT NULL,
    mode TEXT COLLATE "C" NOT NULL,
    -- For whom, as the caller says.
    subject TEXT COLLATE "C",
    charged_micro BIGINT NOT NULL,
    -- All that was read; of it from caches.
    input_tokens BIGINT NOT NULL,
    cached_tokens BIGINT NOT NULL,
    -- All that was written; of it not shown.
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    -- What the charge goes by.
    basis TEXT COLLATE "C" NOT NULL,
    -- Of the provider's answer; 0 where there was none.
    status BIGINT NOT NULL,
    began_at BIGINT NOT NULL,
    ended_at BIGINT NOT NULL
);
