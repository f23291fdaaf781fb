# Runs on the machine that builds, with the installed system as its argument.
set -eu
root=$1

printf '%s\n' 'en_US.UTF-8 UTF-8' >"$root/etc/locale.gen"
chroot "$root" locale-gen >/dev/null

chroot "$root" groupadd --gid 1000 developer
# The password is one that nobody has, not a locked account: sshd without PAM refuses the latter.
chroot "$root" useradd --uid 1000 --gid 1000 --create-home --shell /bin/bash --password '*' \
  --groups adm,sudo,systemd-journal,users developer
rm -f "$root/etc/passwd-" "$root/etc/group-" "$root/etc/shadow-" "$root/etc/gshadow-"

# Each workspace makes its own.
rm -f "$root"/etc/ssh/ssh_host_*
# Old hosts' names for keys of servers, and logs of the build.
find "$root/var/log" -type f -delete
rm -rf "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old
