#!/usr/bin/env bash
# What each switch of mode `matching` buys: the table in the README, in virtual time, so that the same
# build prints the same figures. Takes some minutes of one core.
#
# usage: ablation.sh PATH-TO-KV-DEMO [TOPOLOGY...]
set -euo pipefail
kv=$(realpath "$1")
shift
if [ $# = 0 ]; then set -- ring random-regular; fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
many=(--messages 10) alone=(--messages 1)

# Share of the living that were reached, mean time until all of them were, copies beyond one each.
figures() { # MODE TOPOLOGY FLAGS...
    local mode=$1 topology=$2
    shift 2
    rm -rf "$out/run"
    local warm=()
    if [ "$mode" = matching ]; then warm=(--warm 20); fi
    "$kv" experiment --runtime sim --modes "$mode" --topology "$topology" --nodes 256 --delay uniform:10 \
        "${load[@]}" "${warm[@]}" --horizon 10s --window 5s --repeat 3 --keep figures --out "$out/run" "$@" \
        >/dev/null 2>"$out/said" || { cat "$out/said" >&2; exit 1; }
    awk -F, '
        NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
        {
            rows++; reached += $column["reliability"]; rmr += $column["rmr"]
            if ($column["t_full_ms"] != "") { whole++; full += $column["t_full_ms"] }
        }
        END {
            time = whole == rows ? sprintf("%.0f", full / rows) : whole ? sprintf("%.0f (%d of %d)", full / whole, whole, rows) : "never"
            printf " %.2f %% | %s | %.3f |", 100 * reached / rows, time, rmr / rows
        }' "$out/run/results.csv"
}

row() { # NAME MODE FLAGS...
    local name=$1 mode=$2 conditions
    shift 2
    printf '| %s |' "$name"
    for conditions in "" "--loss 5%" "--kill 10%"; do
        # shellcheck disable=SC2086 # several words, or none
        figures "$mode" "$topology" "$@" $conditions
    done
    printf '\n'
}

for topology; do
    printf '\n%s of 256\n\n' "$topology"
    echo "| | reached | all, ms | RMR | 5 % lost: reached | all, ms | RMR | 10 % dead: reached | all, ms | RMR |"
    echo "|---|---|---|---|---|---|---|---|---|---|"
    # Its copies are queued again by whoever gets them, and what came first never ends: of thirty messages
    # the last ten would reach some 5 %, in 8 GB of memory. One alone shows what the copies cost.
    load=("${alone[@]}")
    row "\`classic --dedup off\`, one message alone" classic --dedup off
    load=("${many[@]}")
    row "\`classic\`" classic
    row "links, at ticks" matching --immediate off --prune off --repair off --floor off
    row "+ at once" matching --prune off --repair off --floor off
    row "+ pruned to trees" matching --repair off --floor off
    row "+ repair" matching --floor off
    row "+ floor: \`matching\`" matching
done
