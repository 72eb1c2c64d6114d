#!/usr/bin/env bash
# `make bench-instructions`: counts with callgrind how many instructions mcpd and the agent take for one
# whole answer, with 64 callers. PROFILES=folder keeps the profiles, for callgrind_annotate.
. "$(dirname "$0")/env.sh"

install_apt base profile
find_rust
cd "$root"
say "building, optimised, with line numbers (the first time takes minutes)"
cargo build --release --locked --bins -p mcpd -p mcplocal-agent -p bench
profiles=${PROFILES:-$(mktemp -d)}
mkdir -p "$profiles"
[ -n "${PROFILES:-}" ] || trap 'rm -rf "$profiles"' EXIT
say "counting"
"$CARGO_TARGET_DIR/release/bench" instructions "$profiles"
