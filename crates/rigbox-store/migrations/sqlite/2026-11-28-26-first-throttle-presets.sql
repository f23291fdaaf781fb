-- Whoever changes one keeps the change.
INSERT INTO throttle_presets (name, rules, system_managed, updated_at) VALUES
    ('default', '{}', 1, 1795824000000000),
    ('slow', '{"authentication":30,"workspaces":45,"apps":60}', 1, 1795824000000000),
    ('fast', '{"authentication":600,"workspaces":1800,"apps":2400}', 1, 1795824000000000)
ON CONFLICT (name) DO NOTHING;
