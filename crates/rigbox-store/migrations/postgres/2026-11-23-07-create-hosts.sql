CREATE TABLE IF NOT EXISTS hosts (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    region TEXT COLLATE "C" NOT NULL,
    address TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    driver TEXT COLLATE "C" NOT NULL,
    capacity_vcpus BIGINT NOT NULL,
    capacity_memory_mib BIGINT NOT NULL,
    capacity_disk_mib BIGINT NOT NULL,
    reported_vcpus BIGINT NOT NULL,
    reported_memory_mib BIGINT NOT NULL,
    reported_disk_mib BIGINT NOT NULL,
    drift BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    registered_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);
