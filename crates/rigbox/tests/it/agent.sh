#!/bin/sh
# Stands in for the host agent: registers itself with control, and notes what it was asked to do.
# RIGBOX_STAND_IN says what goes wrong: "run" (it does not start), "image" (nothing can be built), "copy"
# (it never has all copies of disks).
set -eu
config=""; data=""; previous=""
for word in "$@"; do
  [ "$previous" != --config ] || config="$word"
  [ "$previous" != --data ] || data="$word"
  previous="$word"
done
value() { sed -n "s/^$1 = \"\(unix:\)\{0,1\}\(.*\)\"/\2/p" "$config" | head -n 1; }
[ -n "$data" ] || data="$(value data)"
case "$1" in
  image)
    echo "building $3" >&2
    [ "${RIGBOX_STAND_IN:-}" != image ] || { echo 'no network' >&2; exit 1; }
    mkdir -p "$data/images/$3"
    echo '{}' >"$data/images/$3/manifest.json"
    ;;
  copy-disks)
    [ "${RIGBOX_STAND_IN:-}" = copy ] || echo '{"event":"done"}'
    cat >/dev/null
    ;;
  down) echo "$config" >>"$data/was-down" ;;
  run)
    [ "${RIGBOX_STAND_IN:-}" != run ] || { echo 'no driver on this machine' >&2; exit 1; }
    id="$(value id)"
    trap 'exit 0' TERM
    until curl -sS -f --unix-socket "$(value control)" -X PUT -H 'content-type: application/json' \
      "http://control/internal/v1/hosts/$id" -d "{\"id\": \"$id\", \"region\": \"local\",
        \"address\": \"unix:/nowhere\", \"version\": \"0\", \"driver\": \"qemu_tcg\",
        \"capacity\": {\"vcpus\": 8, \"memory_mib\": 8000, \"disk_mib\": 100000}}"; do sleep 0.05; done
    while :; do sleep 0.1; done
    ;;
esac
