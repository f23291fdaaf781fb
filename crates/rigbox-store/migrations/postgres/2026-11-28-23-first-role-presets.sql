-- Whoever changes one keeps the change.
INSERT INTO role_presets
    (scope_kind, role, match_tag_keys, required_resource_tags, system_managed, updated_at) VALUES
    ('account', 'viewer', '[]', '{}', 1, 1795824000000000),
    ('account', 'developer', '[]', '{}', 1, 1795824000000000),
    ('account', 'admin', '[]', '{}', 1, 1795824000000000),
    ('account', 'owner', '[]', '{}', 1, 1795824000000000),
    ('workspace', 'viewer', '[]', '{}', 1, 1795824000000000),
    ('workspace', 'developer', '[]', '{}', 1, 1795824000000000),
    ('workspace', 'admin', '[]', '{}', 1, 1795824000000000),
    ('workspace', 'owner', '[]', '{}', 1, 1795824000000000),
    ('app', 'viewer', '[]', '{}', 1, 1795824000000000),
    ('app', 'developer', '[]', '{}', 1, 1795824000000000),
    ('app', 'admin', '[]', '{}', 1, 1795824000000000),
    ('app', 'owner', '[]', '{}', 1, 1795824000000000)
ON CONFLICT (scope_kind, role) DO NOTHING;
