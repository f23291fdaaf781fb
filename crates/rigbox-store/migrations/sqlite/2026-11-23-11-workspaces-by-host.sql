-- Holds what admission sums up, so that it reads no rows.
CREATE INDEX IF NOT EXISTS workspaces_by_host ON workspaces (host_id, id, desired, observed, vcpus, memory_mib, disk_mib);
