-- The plans of a new installation; whoever changes one keeps the change. Totals of memory, disk and
-- virtual CPUs follow from those of one workspace times workspaces. The operator has the machines' limits.
INSERT INTO plans (name, quotas) VALUES
    ('free', '{"max_vms":2,"max_apps_per_vm":5,"max_ram_per_vm_mb":1024,"max_vcpu_per_vm":1,"max_disk_per_vm_mb":4096,"max_snapshots_per_vm":3,"max_ssh_keys":5,"max_ai_credits_per_month":250}'),
    ('pro', '{"max_vms":10,"max_apps_per_vm":20,"max_ram_per_vm_mb":4096,"max_vcpu_per_vm":4,"max_disk_per_vm_mb":10240,"max_snapshots_per_vm":10,"max_ssh_keys":20,"max_ai_credits_per_month":2000}'),
    ('operator', '{}')
ON CONFLICT (name) DO NOTHING;
