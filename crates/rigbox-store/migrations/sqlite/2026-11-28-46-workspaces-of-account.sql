-- Holds what admission and the limits sum up for an account, so that they read no rows.
CREATE INDEX IF NOT EXISTS workspaces_of_account ON workspaces (account_id, created_at, id, desired, observed, vcpus, memory_mib, disk_mib);
