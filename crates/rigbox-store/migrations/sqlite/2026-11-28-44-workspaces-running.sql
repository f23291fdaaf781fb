-- Finds what runs without reading what does not.
CREATE INDEX IF NOT EXISTS workspaces_running ON workspaces (created_at, id) WHERE observed = 'running';
