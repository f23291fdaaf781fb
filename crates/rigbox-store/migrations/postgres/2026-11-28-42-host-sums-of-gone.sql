-- At the end of a transaction, so that who holds a sum waits for no workspace. Nobody writes
-- workspaces between the triggers and the first sums.
DO $$
BEGIN
    LOCK TABLE workspaces IN SHARE ROW EXCLUSIVE MODE;
    DROP TRIGGER IF EXISTS workspaces_sums ON workspaces;
    DROP TRIGGER IF EXISTS workspaces_changed_sums ON workspaces;
    CREATE CONSTRAINT TRIGGER workspaces_sums AFTER INSERT OR DELETE ON workspaces
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION host_sums_follow();
    CREATE CONSTRAINT TRIGGER workspaces_changed_sums AFTER UPDATE ON workspaces
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
        WHEN (OLD.host_id IS DISTINCT FROM NEW.host_id OR OLD.desired IS DISTINCT FROM NEW.desired
            OR OLD.observed IS DISTINCT FROM NEW.observed OR OLD.vcpus IS DISTINCT FROM NEW.vcpus
            OR OLD.memory_mib IS DISTINCT FROM NEW.memory_mib
            OR OLD.disk_mib IS DISTINCT FROM NEW.disk_mib)
        EXECUTE FUNCTION host_sums_follow();
    DELETE FROM host_sums;
    INSERT INTO host_sums (host_id, workspaces, vcpus, memory_mib, disk_mib)
    SELECT w.host_id, COUNT(*),
        COALESCE(SUM(w.vcpus) FILTER (WHERE (w.desired = 'running' OR w.observed IN ('preparing', 'booting', 'running', 'stopping'))), 0),
        COALESCE(SUM(w.memory_mib) FILTER (WHERE (w.desired = 'running' OR w.observed IN ('preparing', 'booting', 'running', 'stopping'))), 0),
        SUM(w.disk_mib)
    FROM workspaces w GROUP BY w.host_id;
END
$$;
