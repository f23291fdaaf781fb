-- A key without a row here is narrowed to nothing, like every key before there were scopes.
CREATE TABLE IF NOT EXISTS api_key_scopes (
    api_key_id TEXT NOT NULL PRIMARY KEY REFERENCES api_keys (id) ON DELETE CASCADE,
    -- A JSON list.
    scopes TEXT NOT NULL
) STRICT;
