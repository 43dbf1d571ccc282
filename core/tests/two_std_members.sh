#!/usr/bin/env bash
# Two processes of the std example find each other, and one hears the other's goodbye.
# Usage: two_std_members.sh PATH_OF_THE_EXAMPLE
set -euo pipefail
example=$1
work=$(mktemp -d)
ada='' bob=''
cleanup() {
    for pid in $ada $bob; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT

# Waits for a line in a log; no longer than a minute, and that long only when something is wrong.
until_line() {
    for _ in $(seq 600); do
        if grep -qE "$2" "$work/$1"; then return; fi
        sleep 0.1
    done
    echo "$1 never said: $2" >&2
    cat "$work"/*.log >&2
    exit 1
}

# Each leaves when its input ends: when the other end of its pipe is closed here.
mkfifo "$work/ada.in" "$work/bob.in"
"$example" ada 127.0.0.1:0 <"$work/ada.in" >"$work/ada.log" 2>&1 &
ada=$!
exec 3>"$work/ada.in"
until_line ada.log '^Joined \{ name: "ada"'
seed=$(sed -n 's/^Joined { name: "ada", addr: \([^,]*\),.*/\1/p' "$work/ada.log")

"$example" bob 127.0.0.1:0 "$seed" 3>&- <"$work/bob.in" >"$work/bob.log" 2>&1 &
bob=$!
exec 4>"$work/bob.in"
until_line bob.log '^SeedReached'
until_line bob.log '^Joined \{ name: "ada"'
until_line ada.log '^Joined \{ name: "bob"'

exec 4>&-
wait "$bob"
until_line ada.log '^Left \{ name: "bob"'
exec 3>&-
wait "$ada"
ada='' bob=''
echo "two members on std sockets met and parted"
