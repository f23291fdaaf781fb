-- What the workspaces of a host add up to. Kept by the database itself with every row of a workspace,
-- so that nothing that reads it has to read them, and nothing that writes them can forget it.
CREATE TABLE IF NOT EXISTS host_sums (
    host_id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    workspaces BIGINT NOT NULL,
    vcpus BIGINT NOT NULL,
    memory_mib BIGINT NOT NULL,
    disk_mib BIGINT NOT NULL
);
