# Runs on the machine that builds, with the unpacked packages as its argument.
set -eu
root=$1
for dir in bin sbin dev proc sys run root tmp mnt home/developer var/tmp var/log var/lib/rigbox \
  usr/bin usr/sbin usr/lib/rigbox usr/local/bin usr/local/sbin etc; do
  mkdir -p "$root/$dir"
done
# Every tool is busybox, except those that we bring ourselves.
"$root/bin/busybox" --list-full | while read -r path; do
  case "$path" in
    sbin/init | linuxrc | *busybox | *dpkg* | *rpm*) continue ;;
  esac
  mkdir -p "$root/$(dirname "$path")"
  [ -e "$root/$path" ] || [ -L "$root/$path" ] || ln -s /bin/busybox "$root/$path"
done
