#!/usr/bin/env bash
# Members of ours and of memberlist 0.7.0 in one cluster for a while, each in a network namespace of
# its own, with LAN timings, and 5 % of all that reaches half of them lost. Nobody may take anybody for
# dead, and all must agree at the end. Needs root, iproute2, nftables and Go; without them it says
# so and succeeds, unless RUMORMILL_REQUIRE_PEERS is 1.
#
# usage: soak.sh [--seconds N] [--each N]
set -euo pipefail
cd "$(dirname "$0")"
seconds=600
each=16
while [ $# -gt 0 ]; do
    case $1 in
    --seconds) seconds=$2 ;;
    --each) each=$2 ;;
    *)
        echo "usage: soak.sh [--seconds N] [--each N]" >&2
        exit 2
        ;;
    esac
    shift 2
done
tag=soak$$
net=198.18.7
work=$(mktemp -d)
pids=()
spaces=()

skip() {
    rm -rf "$work"
    if [ "${RUMORMILL_REQUIRE_PEERS:-0}" = 1 ]; then
        echo "the soak needs $1" >&2
        exit 1
    fi
    echo "skipped: the soak needs $1"
    exit 0
}
[ "$(id -u)" = 0 ] || skip root
for tool in ip nft go cargo; do command -v $tool >/dev/null || skip $tool; done
ip netns add "$tag-hub" 2>/dev/null || skip "network namespaces"
spaces+=("$tag-hub")

clean_up() {
    for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
    for space in "${spaces[@]}"; do ip netns del "$space" 2>/dev/null || true; done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# Tries a command until it succeeds, for 60 s at most.
until_true() {
    for _ in $(seq 240); do
        if "$@"; then return 0; fi
        sleep 0.25
    done
    fail "waited in vain for: $*"
}

cargo build --quiet --release --package rumormill-mio --example peer
target=${CARGO_TARGET_DIR:-../../../target}
ours=$(realpath "$target/release/examples/peer")
theirs=$work/theirs
go -C peer build -buildvcs=false -o "$theirs" .

# A bridge, and a wire from it to each member.
ip -n "$tag-hub" link add bridge type bridge
ip -n "$tag-hub" link set bridge up
names=()
add_host() {
    local space=$tag-$1
    ip netns add "$space"
    spaces+=("$space")
    ip link add eth0 netns "$space" type veth peer name "$1" netns "$tag-hub"
    ip -n "$tag-hub" link set "$1" master bridge up
    ip -n "$space" addr add "$2/24" dev eth0
    ip -n "$space" link set lo up
    ip -n "$space" link set eth0 up
}

# Its commands go into $work/NAME.in, what it says comes out of $work/NAME.
declare -A inputs
start() {
    local name=$1 addr=$2 program=$3 fd
    add_host "$name" "$addr"
    mkfifo "$work/$name.in"
    ip netns exec "$tag-$name" "$program" --name "$name" --bind "$addr:7946" --profile lan \
        <"$work/$name.in" >"$work/$name" 2>"$work/$name.err" &
    pids+=($!)
    # The shell need not tell that it was killed.
    disown $!
    exec {fd}>"$work/$name.in"
    inputs[$name]=$fd
    names+=("$name")
}
tell() { echo "$2" >&"${inputs[$1]}"; }
said() { grep -q "^{\"event\":\"$2\"" "$work/$1"; }

for number in $(seq "$each"); do
    start "rust$number" "$net.$((100 + number))" "$ours"
    start "go$number" "$net.$((150 + number))" "$theirs"
done
for name in "${names[@]}"; do until_true said "$name" ready; done
for name in "${names[@]:1}"; do
    tell "$name" "join $net.101:7946"
    until_true said "$name" joined
done

# The last answer of each is its count of live members.
all=${#names[@]}
knows_all() {
    tell "$1" members
    sleep 0.05
    grep '"event":"members"' "$work/$1" | tail -1 | grep -q "\"count\":\"$all\""
}
for name in "${names[@]}"; do until_true knows_all "$name"; done
echo "$all members know each other"

# Half of each kind lose what comes in. (What is dropped on its way out would be an error to the sender.)
lossy=()
for number in $(seq $(((each + 1) / 2))); do lossy+=("rust$number" "go$number"); done
for name in "${lossy[@]}"; do
    ip netns exec "$tag-$name" nft -f - <<-RULES
		table ip loss {
		    chain input {
		        type filter hook input priority 0;
		        iifname "eth0" numgen random mod 100 < 5 counter drop
		    }
		}
	RULES
done

gone() { cat "${names[@]/#/$work/}" | grep -c '^{"event":"gone"' || true; }
for _ in $(seq "$seconds"); do
    sleep 1
    [ "$(gone)" = 0 ] || break
    for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null || fail "a member has ended"; done
done

lost=0
for name in "${lossy[@]}"; do
    packets=$(ip netns exec "$tag-$name" nft list table ip loss | sed -n 's/.*packets \([0-9]*\).*/\1/p')
    lost=$((lost + packets))
done
suspected=$(cat "${names[@]/#/$work/}" | grep -c '^{"event":"suspected"' || true)
refuted=$(cat "${names[@]/#/$work/}" | grep -c '^{"event":"refuted"' || true)
theirs_suspected=$(cat "$work"/go*.err | grep -c 'Suspect .* has failed' || true)
theirs_refuted=$(cat "$work"/go*.err | grep -c 'Refuting' || true)
deaths=$(gone)
[ "$lost" -gt 0 ] || fail "nothing was lost"
echo "$seconds s, ${#lossy[@]} of $all members with 5 % loss: $lost packets lost"
echo "ours: $suspected suspicions seen, $refuted refutations; theirs: $theirs_suspected failed probes, $theirs_refuted refutations"
echo "false deaths seen at any member: $deaths"
if [ "$deaths" != 0 ]; then
    grep -H '^{"event":"gone"' "${names[@]/#/$work/}" | head -20 >&2
    fail "somebody was taken for dead"
fi
for name in "${names[@]}"; do until_true knows_all "$name"; done
known() {
    tell "$1" members
    sleep 0.3
    grep '^{"event":"member"' "$work/$1" | tail -"$all" | sed 's/.*"name":"\([^"]*\)","addr":"\([^"]*\)".*/\1 \2/' | sort
}
known "${names[0]}" >"$work/agreed"
for name in "${names[@]:1}"; do
    known "$name" | cmp -s - "$work/agreed" || fail "$name knows other members than ${names[0]}"
done
echo "all $all agree on all $all"
