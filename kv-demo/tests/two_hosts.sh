#!/usr/bin/env bash
# The README's walk between two hosts, tried between two network namespaces that this script makes
# and removes. Needs root and iproute2; without them it says so and succeeds.
#
# usage: two_hosts.sh PATH-TO-KV-DEMO
set -euo pipefail
kv=$(realpath "$1")
a=192.0.2.1
b=192.0.2.2
tag=rumor$$
work=$(mktemp -d)
pids=()

if [ "$(id -u)" != 0 ] || ! command -v ip >/dev/null || ! ip netns add "$tag-a" 2>/dev/null; then
    echo "skipped: network namespaces need root and iproute2"
    rm -rf "$work"
    exit 0
fi

clean_up() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    ip netns del "$tag-a" 2>/dev/null || true
    ip netns del "$tag-b" 2>/dev/null || true
    rm -rf "$work"
}
trap clean_up EXIT

ip netns add "$tag-b"
ip link add "$tag"a netns "$tag-a" type veth peer name "$tag"b netns "$tag-b"
ip -n "$tag-a" addr add "$a/24" dev "$tag"a
ip -n "$tag-b" addr add "$b/24" dev "$tag"b
for side in a b; do
    ip -n "$tag-$side" link set lo up
    ip -n "$tag-$side" link set "$tag$side" up
done

# Starts a node on a host. `ip netns exec` becomes the node, so that signals reach it.
start() {
    local side=$1
    shift
    ip netns exec "$tag-$side" "$kv" node "$@" >/dev/null &
    pids+=($!)
}
on_a() { ip netns exec "$tag-a" "$@"; }
on_b() { ip netns exec "$tag-b" "$@"; }

# Tries a command until it succeeds, for 30 s at most.
until_true() {
    for _ in $(seq 300); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    echo "waited in vain for: $*" >&2
    return 1
}

echo "== two nodes, one per host"
start a --bind "$a:7946" 2>"$work/a.log"
start b --bind "$b:7946" --join "$a:7946" 2>"$work/b.log"
sees_two() { "$1" "$kv" members --format json | grep -q '"live": 2'; }
until_true sees_two on_a
until_true sees_two on_b
on_a curl -fsS 'http://127.0.0.1:30500/add?key=color&val=green'
has_green() { test "$(on_b curl -fsS 'http://127.0.0.1:30500/get?key=color')" = green; }
until_true has_green
on_b "$kv" members
for pid in "${pids[@]}"; do kill "$pid"; done
wait "${pids[@]}" || true
grep -q 'leaving the cluster' "$work/a.log"
pids=()

echo "== a hypercube of sixteen, eight per host"
"$kv" topology hypercube --dim 4 --hosts "$a,$b" >"$work/cube.toml"
for number in $(seq 1 8); do
    start a --config "$work/cube.toml" --name "Node$number" --mode matching 2>>"$work/cube.log"
done
for number in $(seq 9 16); do
    start b --config "$work/cube.toml" --name "Node$number" --mode matching 2>>"$work/cube.log"
done
sees_sixteen() { "$1" "$kv" members --http 127.0.0.1:30500 --format json | grep -q '"live": 16'; }
until_true sees_sixteen on_a
until_true sees_sixteen on_b
on_a curl -fsS 'http://127.0.0.1:30500/add?key=mgossip&val=better'
has_better() { test "$(on_b curl -fsS 'http://127.0.0.1:30507/get?key=mgossip')" = better; }
until_true has_better
echo "Node16 on the other host has the key"
