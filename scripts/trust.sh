#!/usr/bin/env bash
# `make trust`: everything that was promised for bad days, in full and with the real waits (half an
# hour), and its figures as a table in docs/trust.md.
. "$(dirname "$0")/env.sh"

install_apt base test
find_rust
find_nextest
cd "$root"
say "building"
cargo build --locked --bins
say "bad days, in full: about half an hour; leave the machine alone"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export TRUST_THOROUGH=1
cargo nextest run --locked --profile trust --success-output immediate --no-fail-fast \
    -p trust -p mcpd -p e2e -E 'package(trust) | binary(chaos) | test(authorization) |
        test(canaries_are_in_no_log)' 2>&1 | tee "$log" || failed=1
# A figure that begins with "…" belongs to the one above it.
table() {
    printf '\n| promise | found | promised |\n|---|---|---|\n'
    sed -n 's/^ *figure: \(.*\)$/| \1 |/p' "$log" |
        awk -v wanted="$1" '!/^[|] …/ { hostile = /^[|] hostile / } hostile == wanted'
}
{
    printf '\n%s, commit %s.\n' "$(date +%F)" "$(git rev-parse --short HEAD)"
    table 0
    printf '\n## Hostile neighbours\n\n'
    printf 'A caller, a publisher or a server that does what it can against the others.\n'
    table 1
    echo
} | between measured docs/trust.md
[ -z "${failed:-}" ] || die "a promise was not kept; see above"
"$root/scripts/schemathesis.sh"
"$root/scripts/supply.sh"
