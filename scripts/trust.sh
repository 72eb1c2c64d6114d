#!/usr/bin/env bash
# `make trust`: runs the fault-injection tests in full, with real waiting times (half an hour), and
# writes their figures to the tables in docs/trust.md.
. "$(dirname "$0")/env.sh"

install_apt base test
find_rust
find_nextest
cd "$root"
say "building"
cargo build --locked --bins
say "fault-injection tests: about half an hour; run nothing else on this machine meanwhile"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export TRUST_THOROUGH=1
cargo nextest run --locked --profile trust --success-output immediate --no-fail-fast \
    -p trust -p mcpd -p e2e -E 'package(trust) | binary(chaos) | test(authorization) |
        test(canaries_are_in_no_log)' 2>&1 | tee "$log" || failed=1
# table 1: the figures of hostile peers; table 0: all others. A figure that begins with "…" belongs to
# the one above it.
table() {
    printf '\n| guarantee | measured | required |\n|---|---|---|\n'
    sed -n 's/^ *figure: \(.*\)$/| \1 |/p' "$log" |
        awk -v wanted="$1" '!/^[|] …/ { hostile = /^[|] hostile / } hostile == wanted'
}
{
    printf '\n%s, commit %s.\n' "$(date +%F)" "$(git rev-parse --short HEAD)"
    table 0
    printf '\n## Hostile peers\n\n'
    printf 'A caller, a publisher or a server that attacks the others.\n'
    table 1
    echo
} | between measured docs/trust.md
[ -z "${failed:-}" ] || die "a test failed; see above"
"$root/scripts/schemathesis.sh"
"$root/scripts/supply.sh"
