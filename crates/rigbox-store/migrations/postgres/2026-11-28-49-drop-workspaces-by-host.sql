-- What a host promises is in host_sums: nothing reads it from an index any more.
DROP INDEX IF EXISTS workspaces_by_host;
