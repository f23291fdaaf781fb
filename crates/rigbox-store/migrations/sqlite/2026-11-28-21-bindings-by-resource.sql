CREATE INDEX IF NOT EXISTS bindings_by_resource ON bindings (resource_kind, resource_id, created_at);
