#!/usr/bin/env bash
# Captures the corpora of this folder anew. Needs Go and Debian's serf.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
agents=()

clean_up() {
    for pid in "${agents[@]}"; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap clean_up EXIT

# Tries a command until it succeeds, for 30 s at most.
until_true() {
    for _ in $(seq 300); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.1
    done
    echo "waited in vain for: $*" >&2
    return 1
}

peer=../../../runtime-mio/tests/interop/peer
go -C "$peer" build -buildvcs=false -o "$work/newest" .
go -C "$peer" build -buildvcs=false -modfile=v0.2.2.mod -tags oldest -o "$work/oldest" .
rm -rf 0.7.0 0.2.2 serf
"$work/newest" capture 0.7.0 2>/dev/null
"$work/oldest" capture 0.2.2 2>/dev/null

# Two agents; a member of ours listens, and has tags changed, events told and keys asked for.
agent() {
    serf agent -node "$1" -bind "127.0.0.1:$2" -rpc-addr "127.0.0.1:$3" -profile local \
        -disable-compression >"$work/$1.log" 2>&1 &
    agents+=($!)
    until_true serf members -rpc-addr "127.0.0.1:$3"
}
agent ada 17946 17373
agent bob 17947 17374
serf join -rpc-addr 127.0.0.1:17374 127.0.0.1:17946
mkfifo "$work/stop"
"$work/newest" capture --join 127.0.0.1:17946 serf <"$work/stop" >"$work/addr" 2>/dev/null &
listener=$!
exec 9>"$work/stop"
until_true test -s "$work/addr"
serf tags -rpc-addr 127.0.0.1:17373 -set role=web
serf event -rpc-addr 127.0.0.1:17373 -coalesce=false deploy 1.2.3
serf query -rpc-addr 127.0.0.1:17374 uptime >/dev/null
serf join -rpc-addr 127.0.0.1:17373 "$(cat "$work/addr")"
# A few rounds of probes.
sleep 5
serf leave -rpc-addr 127.0.0.1:17374
sleep 2
exec 9>&-
wait "$listener"
find . -type f -path '*/*/*' | wc -l
