-- When a role counts on a kind of thing. What it gives there is in the code.
CREATE TABLE IF NOT EXISTS role_presets (
    scope_kind TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    -- A list of keys of tags.
    match_tag_keys TEXT COLLATE "C" NOT NULL,
    -- A document of tags.
    required_resource_tags TEXT COLLATE "C" NOT NULL,
    system_managed BIGINT NOT NULL CHECK (system_managed IN (0, 1)),
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (scope_kind, role)
);
