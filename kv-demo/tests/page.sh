#!/usr/bin/env bash
# The page to look at, driven in headless Chromium: small experiments of each runtime, one of 64 nodes
# in four modes, some with deaths and losses, and page.py on what they wrote. Needs Chromium, its driver
# and Selenium, which it installs by apt where it may; without them it says so and succeeds, unless
# RUMORMILL_REQUIRE_BROWSER=1.
#
# usage: page.sh PATH-TO-KV-DEMO [EXPERIMENT-DIR...]
set -euo pipefail
kv=$(realpath "$1")
shift
here=$(dirname "$(realpath "$0")")
# Each has its own experiments below.
runtimes="udp sim"
# Debian's own Python, which has Debian's Selenium.
python=/usr/bin/python3

has_browser() {
    command -v chromium >/dev/null && command -v chromedriver >/dev/null \
        && "$python" -c 'import selenium' 2>/dev/null
}

install_browser() {
    local root=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null && sudo -n true 2>/dev/null || return 1
        root=(sudo -n)
    fi
    command -v apt-get >/dev/null || return 1
    "${root[@]}" apt-get update -qq
    "${root[@]}" apt-get install -y -qq --no-install-recommends \
        chromium chromium-driver python3-selenium fonts-dejavu-core >/dev/null
}

if ! has_browser; then
    install_browser || true
fi
if ! has_browser; then
    echo "skipped: the page needs chromium, chromium-driver and python3-selenium (Debian's packages)"
    [ "${RUMORMILL_REQUIRE_BROWSER:-0}" != 1 ]
    exit
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Runs an experiment and checks that it wrote its page and says where.
experiment() {
    local out=$1
    shift
    "$kv" experiment --out "$out" "$@" >/dev/null 2>"$work/said"
    grep -qF "the page to look at is $out/report.html" "$work/said"
    pages+=("$out/report.html")
}

pages=()
for dir in "$@"; do
    "$kv" report "$dir" --html "$work/$(basename "$dir").html" >/dev/null
    pages+=("$work/$(basename "$dir").html")
done
if [ "${#pages[@]}" = 0 ]; then
    for runtime in $runtimes; do
        case $runtime in
            udp) flags=() ;;
            # Without a delay, `matching` is over at the instant of its creation.
            sim) flags=(--runtime sim --delay uniform:5) ;;
        esac
        echo "== $runtime, quick"
        experiment "$work/$runtime-quick" "${flags[@]}" --quick
        echo "== $runtime, all topologies"
        experiment "$work/$runtime-all" "${flags[@]}" --quick --topology bus,ring,hypercube \
            --window 1s --calibrate-rounds 0
        echo "== $runtime, 64 nodes in four modes"
        experiment "$work/$runtime-64" "${flags[@]}" --dim 6 --repeat 1 --calibrate-rounds 0
    done
    echo "== trees, a cut and lost datagrams"
    for topology in bus ring; do
        experiment "$work/cut-$topology" --runtime sim --delay uniform:10 --modes matching \
            --topology "$topology" --nodes 8 --kill cut --loss 10% --warm 3 --messages 2 --repeat 1
    done
    echo "== trees beside another mode, a death"
    experiment "$work/death" --runtime sim --delay uniform:10 --modes thesis-matching,matching \
        --topology hypercube --dim 4 --kill 1 --warm 3 --messages 2 --repeat 1
fi
"$python" "$here/page.py" "${pages[@]}"
