#!/usr/bin/env bash
# `make bench`: what the relay costs, beside what people would use instead, in one run. ROUNDS=n;
# PEERS=litellm: beside LiteLLM too; KEEP=1 writes docs/benchmarks.md and its picture; ROADS=1
# measures the roads only.
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
say "measuring; leave the machine alone"
"$CARGO_TARGET_DIR/release/bench" --rounds "${ROUNDS:-5}" ${KEEP:+--keep} ${ROADS:+--roads-only} "${peers[@]}"
[ -z "${ROADS:-}" ] || exit 0
say "the parts without sockets"
parts=$(mktemp)
trap 'rm -f "$parts"' EXIT
cargo bench --locked -p bench --bench pure | tee "$parts"
[ -n "${KEEP:-}" ] || exit 0
printf '\n```text\n%s\n```\n\n' "$(grep '[─│]' "$parts")" | between parts docs/benchmarks.md
