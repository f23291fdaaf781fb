-- Keys of TLS session tickets, shared by all edges; encrypted with one that is not here.
CREATE TABLE IF NOT EXISTS ticket_keys (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);
