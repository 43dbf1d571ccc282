#!/usr/bin/env bash
# Renews a committed corpus: choose.sh TARGET FOLDER takes from FOLDER, where a long run of the
# fuzzer left what it found, the inputs that reach most code which the seeds do not. `cargo fuzz
# cmin` keeps every input that counts something new, hundreds of them; this keeps those that fit
# a corpus which people look through.
set -euo pipefail
cd "$(dirname "$0")"
target=$1
found=$(cd "$2" && pwd)
files_max=48

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Chosen inputs are named by their hash, seeds by what they are.
mkdir "$work/none" "$work/all"
find "corpus/$target" -type f -regextype posix-egrep -regex '.*/[0-9a-f]{40}' \
    -exec mv {} "$work/all/" \;
cp -n "$found"/* "$work/all/"
cargo +nightly fuzz run --sanitizer none "$target" "$work/none" "corpus/$target" "$work/all" -- \
    -merge=1 -use_counters=0 -merge_control_file="$work/control" 2>"$work/log" \
    || { tail -20 "$work/log" >&2; exit 1; }

# Again and again the input that reaches most new edges.
awk -v max="$files_max" -v seeds="corpus/" '
    NR > 2 && NR <= 2 + files { name[NR - 3] = $0; kept += is_seed[NR - 3] = index($0, seeds) == 1; next }
    NR == 1 { files = $1 }
    $1 == "COV" {
        edges[$2] = ""
        for (i = 3; i <= NF; i++) {
            if (is_seed[$2]) known[$i] = 1; else edges[$2] = edges[$2] " " $i
        }
    }
    END {
        while (kept++ < max) {
            best = -1; most = 0
            for (file in edges) {
                news = 0; count = split(edges[file], list, " ")
                for (i = 1; i <= count; i++) news += !(list[i] in known)
                if (news > most) { most = news; best = file }
            }
            if (best < 0) exit
            count = split(edges[best], list, " ")
            for (i = 1; i <= count; i++) known[list[i]] = 1
            delete edges[best]
            print name[best]
        }
    }
' "$work/control" >"$work/chosen"
while read -r input; do
    cp "$input" "corpus/$target/$(sha1sum <"$input" | cut -d' ' -f1)"
done <"$work/chosen"
echo "$target: $(find "corpus/$target" -type f | wc -l) inputs"
