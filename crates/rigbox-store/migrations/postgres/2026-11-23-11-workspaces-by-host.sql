-- Holds the promised sizes too, so that admission reads no rows.
CREATE INDEX IF NOT EXISTS workspaces_by_host ON workspaces (host_id, id, vcpus, memory_mib, disk_mib);
