-- The certificate that is served for some names; another one takes its place in the same row.
CREATE TABLE IF NOT EXISTS certificates (
    -- The first of its names.
    subject TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    id TEXT COLLATE "C" NOT NULL,
    -- A document: a list.
    names TEXT COLLATE "C" NOT NULL,
    -- Who has signed it: where its directory is, or local.
    authority TEXT COLLATE "C" NOT NULL,
    chain TEXT COLLATE "C" NOT NULL,
    sealed_key BYTEA NOT NULL,
    not_before BIGINT NOT NULL,
    not_after BIGINT NOT NULL,
    -- Drawn once: what is made together is not renewed together.
    jitter BIGINT NOT NULL,
    renew_at BIGINT NOT NULL,
    -- When its authority is asked again when to renew it.
    ask_at BIGINT NOT NULL
);
