CREATE TABLE IF NOT EXISTS service_specs (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    account_id TEXT COLLATE "C" NOT NULL REFERENCES accounts (id),
    name TEXT COLLATE "C" NOT NULL,
    exec_start TEXT COLLATE "C" NOT NULL,
    env TEXT COLLATE "C" NOT NULL,
    environment_file TEXT COLLATE "C",
    restart_policy TEXT COLLATE "C" NOT NULL,
    auto_enable BIGINT NOT NULL CHECK (auto_enable IN (0, 1)),
    setup_script TEXT COLLATE "C" NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (account_id, name)
);
