#!/usr/bin/env bash
# Prints how much of core/src/wire/ the corpora and the captured bytes reach, by regions: per file
# and in total. With a folder, as of `FOLDER/TARGET`, those inputs count too, and less than 95 % in
# total is a failure.
set -euo pipefail
cd "$(dirname "$0")"
more=${1:+$(cd "$1" && pwd)}

host=$(rustc +nightly -vV | sed -n 's/^host: //p')
tools=$(rustc +nightly --print target-libdir)/../bin
if [ ! -x "$tools/llvm-profdata" ]; then
    echo "coverage needs llvm-profdata: rustup component add llvm-tools --toolchain nightly" >&2
    exit 1
fi
target_dir=${CARGO_TARGET_DIR:-target}/coverage
profiles=() objects=()
for target in packet stream envelope roundtrip node; do
    inputs=("corpus/$target")
    for captured in ../core/tests/captured/*/"${target}s"; do
        if [ -d "$captured" ]; then inputs+=("$captured"); fi
    done
    if [ -n "$more" ] && [ -d "$more/$target" ]; then inputs+=("$more/$target"); fi
    log=$(mktemp)
    cargo +nightly fuzz coverage --sanitizer none --target-dir "$target_dir" "$target" \
        "${inputs[@]}" >"$log" 2>&1 || { tail -30 "$log" >&2; exit 1; }
    rm "$log"
    profiles+=("coverage/$target/coverage.profdata")
    objects+=(--object "$target_dir/$host/release/$target")
done
"$tools/llvm-profdata" merge --sparse "${profiles[@]}" --output coverage/all.profdata
"$tools/llvm-cov" report --show-branch-summary=false --instr-profile coverage/all.profdata \
    "${objects[@]:1}" $(find "$PWD/../core/src/wire" -name '*.rs' -exec realpath {} +) | tee coverage/report.txt
# What chance found differs from time to time, so only who asks for it is told that it was too little.
[ -n "$more" ] || exit 0
reached=$(awk '$1 == "TOTAL" { print int($4) }' coverage/report.txt)
if [ "${reached:-0}" -lt 95 ]; then
    echo "less than 95 % of the regions of core/src/wire/ are reached" >&2
    exit 1
fi
