#!/bin/sh
# Runs in the machine with KVM: each test of the list in a process of its own, within a limit. The
# payload is where cargo's target folder is on the machine that built it, because the tests know
# that path. Ends with 0 if every test passed.
set -u
. /payload/environment

mkdir -p "$TARGET"
mount --bind /payload "$TARGET"
cd "$TARGET" || exit 1
export RIGBOX_IMAGES="$TARGET/images" RIGBOX_GUEST="$TARGET/guest-programs"
[ -c /dev/kvm ] || { echo "there is no /dev/kvm"; exit 1; }
echo "== $(uname -sr), $(qemu-system-x86_64 --version | head -n 1)"

# Ends what a test left that did not end by itself, so that the next one has a machine.
tidy() {
    for data in /tmp/rbt*; do
        [ -d "$data" ] || continue
        timeout 120 "$RIGBOX_BIN/rigbox" down --data "$data"
        rm -rf "$data"
    done
}

passed=0 failed=''
while read -r round suite name; do
    full="$round/$suite/$name"
    case "$round" in
    qemu) export RIGBOX_TEST_DRIVER=qemu RIGBOX_TEST_VMM=qemu_kvm ;;
    *) export RIGBOX_TEST_DRIVER="$round" RIGBOX_TEST_VMM="$round" ;;
    esac
    case "$suite" in
    product) program=$PRODUCT ;;
    *) program=$DRIVER ;;
    esac
    printf '   %s ...\n' "$full"
    begin=$(date +%s)
    timeout -k 30 "$LIMIT_S" "$program" --exact --test-threads 1 "$name" >/tmp/output 2>&1 </dev/null
    code=$?
    took=$(($(date +%s) - begin))
    # A test that does not exist is not one that passed.
    if [ $code = 0 ] && grep -q '^test result: ok. 1 passed' /tmp/output; then
        printf 'ok %s: %s s\n' "$full" "$took"
        passed=$((passed + 1))
        continue
    fi
    # The end of it: the console is slow.
    tail -c 16384 /tmp/output
    [ $code != 124 ] || echo "ended by its limit of $LIMIT_S s"
    printf 'FAILED %s: %s s, exit code %s\n' "$full" "$took" "$code"
    failed="$failed
  $full"
    tidy
done </payload/tests

[ -z "$failed" ] || { printf '== %s passed; failed:%s\n' "$passed" "$failed"; exit 1; }
echo "== all $passed tests passed"
