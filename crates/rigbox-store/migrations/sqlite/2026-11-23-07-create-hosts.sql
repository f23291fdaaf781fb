CREATE TABLE IF NOT EXISTS hosts (
    id TEXT NOT NULL PRIMARY KEY,
    region TEXT NOT NULL,
    address TEXT NOT NULL,
    version TEXT NOT NULL,
    driver TEXT NOT NULL,
    capacity_vcpus INTEGER NOT NULL,
    capacity_memory_mib INTEGER NOT NULL,
    capacity_disk_mib INTEGER NOT NULL,
    reported_vcpus INTEGER NOT NULL,
    reported_memory_mib INTEGER NOT NULL,
    reported_disk_mib INTEGER NOT NULL,
    drift INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    registered_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT;
