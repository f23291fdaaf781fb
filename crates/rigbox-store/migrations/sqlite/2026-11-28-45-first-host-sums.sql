INSERT OR REPLACE INTO host_sums (host_id, workspaces, vcpus, memory_mib, disk_mib)
SELECT w.host_id, COUNT(*),
    COALESCE(SUM(w.vcpus) FILTER (WHERE (w.desired = 'running' OR w.observed IN ('preparing', 'booting', 'running', 'stopping'))), 0),
    COALESCE(SUM(w.memory_mib) FILTER (WHERE (w.desired = 'running' OR w.observed IN ('preparing', 'booting', 'running', 'stopping'))), 0),
    SUM(w.disk_mib)
FROM workspaces w GROUP BY w.host_id;
