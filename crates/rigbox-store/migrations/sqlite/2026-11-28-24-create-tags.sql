-- Tags of a thing that has some.
CREATE TABLE IF NOT EXISTS tags (
    resource_kind TEXT NOT NULL,
    resource_id TEXT NOT NULL,
    -- A document.
    tags TEXT NOT NULL,
    PRIMARY KEY (resource_kind, resource_id)
) STRICT, WITHOUT ROWID;
