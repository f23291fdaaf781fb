-- Keys of TLS session tickets, shared by all edges; encrypted with one that is not here.
CREATE TABLE IF NOT EXISTS ticket_keys (
    id TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
