CREATE TRIGGER IF NOT EXISTS workspaces_gone_sums AFTER DELETE ON workspaces BEGIN
    UPDATE host_sums SET
        workspaces = workspaces - 1,
        vcpus = vcpus - CASE WHEN (OLD.desired = 'running' OR OLD.observed IN ('preparing', 'booting', 'running', 'stopping')) THEN OLD.vcpus ELSE 0 END,
        memory_mib = memory_mib - CASE WHEN (OLD.desired = 'running' OR OLD.observed IN ('preparing', 'booting', 'running', 'stopping')) THEN OLD.memory_mib ELSE 0 END,
        disk_mib = disk_mib - OLD.disk_mib
    WHERE host_id = OLD.host_id;
END;
