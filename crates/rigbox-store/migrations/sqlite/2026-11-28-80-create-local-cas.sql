-- The CA of a domain that no public authority signs for. Its key is encrypted with one that is not here.
CREATE TABLE IF NOT EXISTS local_cas (
    domain TEXT NOT NULL PRIMARY KEY,
    certificate TEXT NOT NULL,
    sealed_key BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
