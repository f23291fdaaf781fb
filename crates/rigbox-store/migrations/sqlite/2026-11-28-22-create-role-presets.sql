-- When a role counts on a kind of thing. What it gives there is in the code.
CREATE TABLE IF NOT EXISTS role_presets (
    scope_kind TEXT NOT NULL,
    role TEXT NOT NULL,
    -- A list of keys of tags.
    match_tag_keys TEXT NOT NULL,
    -- A document of tags.
    required_resource_tags TEXT NOT NULL,
    system_managed INTEGER NOT NULL CHECK (system_managed IN (0, 1)),
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (scope_kind, role)
) STRICT, WITHOUT ROWID;
