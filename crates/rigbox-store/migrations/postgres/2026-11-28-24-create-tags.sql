-- Tags of a thing that has some.
CREATE TABLE IF NOT EXISTS tags (
    resource_kind TEXT COLLATE "C" NOT NULL,
    resource_id TEXT COLLATE "C" NOT NULL,
    -- A document.
    tags TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (resource_kind, resource_id)
);
