-- What guests used, about once a minute. Without a reference to the workspace: a sample then waits for
-- nobody who changes it, and its removal deletes them.
CREATE TABLE IF NOT EXISTS samples (
    workspace_id TEXT NOT NULL,
    sampled_at INTEGER NOT NULL,
    cpu_percent REAL NOT NULL,
    memory_used_bytes INTEGER NOT NULL,
    memory_limit_bytes INTEGER NOT NULL,
    disk_used_bytes INTEGER NOT NULL,
    disk_total_bytes INTEGER NOT NULL,
    -- Since boot.
    rx_bytes INTEGER NOT NULL,
    tx_bytes INTEGER NOT NULL,
    PRIMARY KEY (workspace_id, sampled_at)
) STRICT;
