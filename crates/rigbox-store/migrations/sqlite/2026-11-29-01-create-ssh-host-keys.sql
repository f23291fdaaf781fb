-- What the SSH server of a workspace is known by: the first key that was seen, which nothing changes.
CREATE TABLE IF NOT EXISTS ssh_host_keys (
    workspace_id TEXT NOT NULL PRIMARY KEY REFERENCES workspaces (id) ON DELETE CASCADE,
    public_key TEXT NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
