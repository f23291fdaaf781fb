CREATE TRIGGER IF NOT EXISTS workspaces_changed_sums
AFTER UPDATE OF host_id, desired, observed, vcpus, memory_mib, disk_mib ON workspaces
WHEN OLD.host_id <> NEW.host_id OR OLD.desired <> NEW.desired OR OLD.observed <> NEW.observed
    OR OLD.vcpus <> NEW.vcpus OR OLD.memory_mib <> NEW.memory_mib OR OLD.disk_mib <> NEW.disk_mib
BEGIN
    UPDATE host_sums SET
        workspaces = workspaces - 1,
        vcpus = vcpus - CASE WHEN (OLD.desired = 'running' OR OLD.observed IN ('preparing', 'booting', 'running', 'stopping')) THEN OLD.vcpus ELSE 0 END,
        memory_mib = memory_mib - CASE WHEN (OLD.desired = 'running' OR OLD.observed IN ('preparing', 'booting', 'running', 'stopping')) THEN OLD.memory_mib ELSE 0 END,
        disk_mib = disk_mib - OLD.disk_mib
    WHERE host_id = OLD.host_id;
    INSERT INTO host_sums (host_id, workspaces, vcpus, memory_mib, disk_mib)
    VALUES (NEW.host_id, 1, CASE WHEN (NEW.desired = 'running' OR NEW.observed IN ('preparing', 'booting', 'running', 'stopping')) THEN NEW.vcpus ELSE 0 END,
        CASE WHEN (NEW.desired = 'running' OR NEW.observed IN ('preparing', 'booting', 'running', 'stopping')) THEN NEW.memory_mib ELSE 0 END, NEW.disk_mib)
    ON CONFLICT (host_id) DO UPDATE SET
        workspaces = host_sums.workspaces + excluded.workspaces,
        vcpus = host_sums.vcpus + excluded.vcpus,
        memory_mib = host_sums.memory_mib + excluded.memory_mib,
        disk_mib = host_sums.disk_mib + excluded.disk_mib;
END;
