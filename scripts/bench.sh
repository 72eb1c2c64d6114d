#!/usr/bin/env bash
# `make bench`: measures the relay beside its alternatives, in one run on this machine.
#   ROUNDS=n        rounds to measure (default 5)
#   PEERS=litellm   measures LiteLLM too
#   ROUTES=1        measures the routes only, not scaling and latencies
#   KEEP=1          writes the results to docs/benchmarks.md and docs/benchmarks.svg
. "$(dirname "$0")/env.sh"

install_apt base
find_rust
"$root/scripts/nginx.sh" >/dev/null
"$root/scripts/haproxy.sh" >/dev/null
"$root/scripts/rathole.sh" >/dev/null
peers=()
for peer in ${PEERS:-}; do
    [ "$peer" = litellm ] || die "PEERS may be litellm, not $peer"
    "$root/scripts/litellm.sh" >/dev/null
    peers+=(--litellm)
done
cd "$root"
say "building, optimised (the first time takes minutes)"
cargo build --release --locked --bins -p mcpd -p mcpctl -p mcplocal-agent -p bench
say "measuring; run nothing else on this machine meanwhile"
"$CARGO_TARGET_DIR/release/bench" --rounds "${ROUNDS:-5}" ${KEEP:+--keep} ${ROUTES:+--routes-only} "${peers[@]}"
[ -z "${ROUTES:-}" ] || exit 0
say "micro-benchmarks, without sockets"
results=$(mktemp)
trap 'rm -f "$results"' EXIT
cargo bench --locked -p bench --bench pure | tee "$results"
[ -n "${KEEP:-}" ] || exit 0
printf '\n```text\n%s\n```\n\n' "$(grep '[─│]' "$results")" | between parts docs/benchmarks.md
