-- What guests used, about once a minute. Without a reference to the workspace: a sample then waits for
-- nobody who changes it, and its removal deletes them.
CREATE TABLE IF NOT EXISTS samples (
    workspace_id TEXT COLLATE "C" NOT NULL,
    sampled_at BIGINT NOT NULL,
    cpu_percent DOUBLE PRECISION NOT NULL,
    memory_used_bytes BIGINT NOT NULL,
    memory_limit_bytes BIGINT NOT NULL,
    disk_used_bytes BIGINT NOT NULL,
    disk_total_bytes BIGINT NOT NULL,
    -- Since boot.
    rx_bytes BIGINT NOT NULL,
    tx_bytes BIGINT NOT NULL,
    PRIMARY KEY (workspace_id, sampled_at)
);
