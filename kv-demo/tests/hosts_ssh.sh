#!/usr/bin/env bash
# Experiments over two hosts, which are network namespaces that this script makes and removes, with
# a real OpenSSH server in each: keys and configuration are the script's own. Then the same by
# `ip netns exec`, and at last with the wire between the hosts cut in mid-run.
#
# Needs root, iproute2 and OpenSSH. Without them it says so and succeeds, unless
# RUMORMILL_REQUIRE_HOSTS=1 makes that a failure.
#
# usage: hosts_ssh.sh PATH-TO-KV-DEMO
set -euo pipefail
kv=$(realpath "$1")
a=192.0.2.1
b=192.0.2.2
tag=rumor$$
work=$(mktemp -d)
pids=()

skip() {
    rm -rf "$work"
    if [ "${RUMORMILL_REQUIRE_HOSTS:-0}" = 1 ]; then
        echo "this must not be skipped (RUMORMILL_REQUIRE_HOSTS=1): $1" >&2
        exit 1
    fi
    echo "skipped: $1"
    exit 0
}
PATH=$PATH:/usr/sbin:/sbin
sshd=$(command -v sshd) || skip "no OpenSSH server: apt-get install openssh-server"
for tool in ssh ssh-keygen ip; do
    command -v "$tool" >/dev/null || skip "no $tool: apt-get install openssh-client iproute2"
done
[ "$(id -u)" = 0 ] || skip "network namespaces need root"
ip netns add "$tag-a" 2>"$work/netns.err" || skip "no network namespaces ($(cat "$work/netns.err"))"

clean_up() {
    local status=$?
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    # Whatever a failed test left in the namespaces was started by it.
    for side in a b; do
        for pid in $(ip netns pids "$tag-$side" 2>/dev/null); do
            kill -9 "$pid" 2>/dev/null || true
        done
    done
    wait 2>/dev/null || true
    ip netns del "$tag-a" 2>/dev/null || true
    ip netns del "$tag-b" 2>/dev/null || true
    if [ "$status" != 0 ]; then tail -n 20 "$work"/*.log "$work"/*.out >&2 2>/dev/null || true; fi
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

say() { printf '== %s\n' "$1"; }
fail() {
    echo "$1" >&2
    exit 1
}
# Tries a command until it succeeds, for 40 s at most.
until_true() {
    for _ in $(seq 400); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    fail "waited in vain for: $*"
}

# ── Two hosts and a wire ──────────────────────────────────────────────────────────────────────────
ip netns add "$tag-b"
ip link add "$tag"a netns "$tag-a" type veth peer name "$tag"b netns "$tag-b"
ip -n "$tag-a" addr add "$a/24" dev "$tag"a
ip -n "$tag-b" addr add "$b/24" dev "$tag"b
for side in a b; do
    ip -n "$tag-$side" link set lo up
    ip -n "$tag-$side" link set "$tag$side" up
done

# ── An OpenSSH server on each ─────────────────────────────────────────────────────────────────────
mkdir -p /run/sshd
ssh-keygen -q -t ed25519 -N '' -f "$work/user"
cp "$work/user.pub" "$work/authorized"
for side in a b; do
    ssh-keygen -q -t ed25519 -N '' -f "$work/host-$side"
    cat >"$work/sshd-$side.conf" <<CONF
Port 22
ListenAddress 0.0.0.0
HostKey $work/host-$side
PidFile $work/sshd-$side.pid
AuthorizedKeysFile $work/authorized
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
CONF
    ip netns exec "$tag-$side" "$sshd" -D -e -f "$work/sshd-$side.conf" 2>"$work/sshd-$side.log" &
    pids+=($!)
    name=$tag-$side
    addr=$([ "$side" = a ] && echo "$a" || echo "$b")
    echo "$name $(cut -d' ' -f1,2 "$work/host-$side.pub")" >>"$work/known"
    cat >>"$work/ssh.conf" <<CONF
Host $name
    HostName $addr
    HostKeyAlias $name
CONF
done
cat >>"$work/ssh.conf" <<CONF
Host *
    User root
    IdentityFile $work/user
    IdentitiesOnly yes
    UserKnownHostsFile $work/known
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    BatchMode yes
    ConnectTimeout 10
CONF
for side in a b; do
    until_true ip netns exec "$tag-a" ssh -F "$work/ssh.conf" "$tag-$side" true
done

# An experiment with half of sixteen nodes on each host, and its coordinator on the first one.
hosts="$tag-a=$a,$tag-b=$b"
by_ssh="ssh -F '$work/ssh.conf' {host} '$kv' agent"
experiment() {
    local launcher=$1 out=$2
    shift 2
    ip netns exec "$tag-a" timeout --kill-after=10 300 "$kv" experiment --dim 4 \
        --hosts "$hosts" --launcher "$launcher" --out "$work/$out" "$@"
}
# Processes of the program under test on a host, one per line.
ours() {
    for pid in $(ip netns pids "$tag-$1"); do
        if [ "$(readlink "/proc/$pid/exe")" = "$kv" ]; then
            echo "$(tr '\0' ' ' <"/proc/$pid/cmdline")"
        fi
    done
}
none_left() { test -z "$(ours a)$(ours b)"; }

# So many runs, each of which reached all sixteen nodes, eight on each host.
all_reached() {
    local results=$work/$1/results.json
    test "$(grep -c '"convergence_rate":1.0,.*"receipts_ms"' "$results")" = "$2" ||
        fail "not all nodes were reached: $(cat "$work/$1.out")"
    test "$(grep -o '"nodes":8,"offset_ns":' "$results" | wc -l)" = 2 || fail "no eight nodes a host"
    grep "^Clock of $tag-b ($b): " "$work/$1.out" || fail "the clock of $tag-b is not told"
}

say "sixteen nodes, eight per host, by OpenSSH"
experiment "$by_ssh" ssh --repeat 1 >"$work/ssh.out"
all_reached ssh 4
until_true none_left

say "the same by ip netns exec"
experiment "ip netns exec {host} '$kv' agent" netns --repeat 1 --modes classic,matching \
    --calibrate-rounds 0 >"$work/netns.out"
all_reached netns 2
until_true none_left

say "a host whose server does not answer is named"
sed "s/HostName $b/HostName 192.0.2.3/" "$work/ssh.conf" >"$work/wrong.conf"
if experiment "ssh -F '$work/wrong.conf' {host} '$kv' agent" wrong 2>"$work/wrong.out"; then
    fail "an unreachable host must be an error"
fi
grep "host $tag-b: could not be reached: ssh: connect to host 192.0.2.3 port 22" "$work/wrong.out" ||
    fail "the unreachable host is not named: $(cat "$work/wrong.out")"
until_true none_left

say "the wire is cut in mid-run"
experiment "$by_ssh" cut --repeat 100 --calibrate-rounds 0 >"$work/cut-table.out" 2>"$work/cut.out" &
experiment=$!
pids+=("$experiment")
eight_nodes_per_host() {
    test "$(ours a | grep -c ' node --control ')" = 8 &&
        test "$(ours b | grep -c ' node --control ')" = 8
}
until_true eight_nodes_per_host
ip -n "$tag-b" link set "$tag"b down
status=0
wait "$experiment" || status=$?
test "$status" = 1 || fail "the cut must end the experiment with 1, not $status"
grep "host $tag-b: no answer for 10 s: the connection is lost" "$work/cut.out" ||
    fail "the lost host is not named: $(cat "$work/cut.out")"
until_true none_left
echo "no process is left on either side"
