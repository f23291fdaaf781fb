-- How fast a workspace of the first plans may be. A plan that somebody has changed stays as it is.
UPDATE plans SET quotas = CASE name
    WHEN 'free' THEN '{"max_vms":2,"max_apps_per_vm":5,"max_ram_per_vm_mb":1024,"max_vcpu_per_vm":1,"max_disk_per_vm_mb":4096,"max_snapshots_per_vm":3,"max_ssh_keys":5,"max_ai_credits_per_month":250,"max_disk_mb_per_s_per_vm":100,"max_disk_iops_per_vm":2000,"max_network_mbit_per_s_per_vm":100}'
    ELSE '{"max_vms":10,"max_apps_per_vm":20,"max_ram_per_vm_mb":4096,"max_vcpu_per_vm":4,"max_disk_per_vm_mb":10240,"max_snapshots_per_vm":10,"max_ssh_keys":20,"max_ai_credits_per_month":2000,"max_disk_mb_per_s_per_vm":200,"max_disk_iops_per_vm":5000,"max_network_mbit_per_s_per_vm":500}' END
WHERE (name = 'free' AND quotas = '{"max_vms":2,"max_apps_per_vm":5,"max_ram_per_vm_mb":1024,"max_vcpu_per_vm":1,"max_disk_per_vm_mb":4096,"max_snapshots_per_vm":3,"max_ssh_keys":5,"max_ai_credits_per_month":250}')
   OR (name = 'pro' AND quotas = '{"max_vms":10,"max_apps_per_vm":20,"max_ram_per_vm_mb":4096,"max_vcpu_per_vm":4,"max_disk_per_vm_mb":10240,"max_snapshots_per_vm":10,"max_ssh_keys":20,"max_ai_credits_per_month":2000}');
