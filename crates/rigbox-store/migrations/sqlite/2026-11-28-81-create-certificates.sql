-- The certificate that is served for some names; another one takes its place in the same row.
CREATE TABLE IF NOT EXISTS certificates (
    -- The first of its names.
    subject TEXT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL,
    -- A document: a list.
    names TEXT NOT NULL,
    -- Who has signed it: where its directory is, or local.
    authority TEXT NOT NULL,
    chain TEXT NOT NULL,
    sealed_key BLOB NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    -- Drawn once: what is made together is not renewed together.
    jitter INTEGER NOT NULL,
    renew_at INTEGER NOT NULL,
    -- When its authority is asked again when to renew it.
    ask_at INTEGER NOT NULL
) STRICT;
