#!/usr/bin/env bash
# Instructions per packet as callgrind counts them: at 10 000 members at most 1.2 times as many as
# at 10. Without valgrind or gungraun-runner nothing is measured, and a line says so.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=$(sed -n '/^name = "gungraun-runner"$/{n;s/version = "\(.*\)"/\1/p}' core/benches/compare/Cargo.lock)
for tool in valgrind gungraun-runner; do
    if ! command -v "$tool" >/dev/null; then
        echo "skipped: instructions per packet: $tool is not installed" \
            "(valgrind, and cargo install gungraun-runner --version $version --locked)"
        exit 0
    fi
done

cargo bench --manifest-path core/benches/compare/Cargo.toml --locked --bench instructions | awk '
    /^instructions::/ { split($1, path, "::"); work = path[3]; size = $2; sub(/:.*/, "", size) }
    /Instructions:/ { split($2, counts, "|"); found[work, size] = counts[1]; works[work] = 1 }
    END {
        for (work in works) {
            few = found[work, "members_10"]; many = found[work, "members_10000"]
            if (!few || !many) { print work ": not measured"; bad = 1; continue }
            printf "%s: %d instructions at 10 members, %d at 10 000: x %.3f\n", work, few, many, many / few
            if (many > 1.2 * few) { print work ": more than 1.2 times as many"; bad = 1 }
            measured++
        }
        if (measured != 2) { print "expected two benches, measured " measured + 0; bad = 1 }
        exit bad
    }'
