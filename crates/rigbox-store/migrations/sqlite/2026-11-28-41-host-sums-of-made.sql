CREATE TRIGGER IF NOT EXISTS workspaces_made_sums AFTER INSERT ON workspaces BEGIN
    INSERT INTO host_sums (host_id, workspaces, vcpus, memory_mib, disk_mib)
    VALUES (NEW.host_id, 1, CASE WHEN (NEW.desired = 'running' OR NEW.observed IN ('preparing', 'booting', 'running', 'stopping')) THEN NEW.vcpus ELSE 0 END,
        CASE WHEN (NEW.desired = 'running' OR NEW.observed IN ('preparing', 'booting', 'running', 'stopping')) THEN NEW.memory_mib ELSE 0 END, NEW.disk_mib)
    ON CONFLICT (host_id) DO UPDATE SET
        workspaces = host_sums.workspaces + excluded.workspaces,
        vcpus = host_sums.vcpus + excluded.vcpus,
        memory_mib = host_sums.memory_mib + excluded.memory_mib,
        disk_mib = host_sums.disk_mib + excluded.disk_mib;
END;
