-- The CA of a domain that no public authority signs for. Its key is encrypted with one that is not here.
CREATE TABLE IF NOT EXISTS local_cas (
    domain TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    certificate TEXT COLLATE "C" NOT NULL,
    sealed_key BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);
