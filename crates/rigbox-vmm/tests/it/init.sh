#!/bin/busybox sh
# First process of the suite's guest: answers lines on the agent's port.
bb=/bin/busybox
$bb mount -t proc proc /proc
$bb mount -t sysfs sys /sys
$bb mount -t devtmpfs dev /dev
for module in virtio_ring virtio virtio_mmio virtio_blk failover net_failover virtio_net virtio-rng virtio_console; do
	$bb insmod "/modules/$module.ko" || echo "no $module"
done
$bb ip addr add 172.16.0.2/30 dev eth0
$bb ip link set eth0 up
cd /sys/class/virtio-ports || echo "no ports"
port=/dev/$($bb grep -l rigbox.agent.0 */name | $bb cut -d/ -f1)
exec 3<>"$port"
echo "guest is up"
while :; do
	# No host connected reads as end of file.
	IFS= read -r line <&3 || { $bb usleep 10000; continue; }
	case "$line" in
	reboot) $bb reboot -f ;;
	poweroff) $bb poweroff -f ;;
	panic) echo c >/proc/sysrq-trigger ;;
	cmdline) $bb cat /proc/cmdline >&3 ;;
	mac) $bb cat /sys/class/net/eth0/address >&3 ;;
	memory) $bb awk '/MemTotal/{print $2}' /proc/meminfo >&3 ;;
	ping) $bb ping -c 1 -W 5 172.16.0.1 >/dev/null && echo "pong" >&3 || echo "no answer" >&3 ;;
	flood) (while :; do echo "flood flood flood flood flood flood flood flood"; done >/dev/console) & echo "flooding" >&3 ;;
	write) $bb dd if=/dev/zero of=/dev/vda bs=64k count=64 conv=fsync 2>/dev/null && echo "written" >&3 ;;
	remember*) memory=${line#remember }; echo "yes" >&3 ;;
	recall) echo "$memory" >&3 ;;
	*) echo "echo $line" >&3 ;;
	esac
done
