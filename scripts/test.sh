#!/usr/bin/env bash
# `make test`: everything that must pass. Installs what is missing, leaves no process behind.
. "$(dirname "$0")/env.sh"

started=$SECONDS
# step NAME: what begins now, and how long everything took until here.
step() { say "$1 ($((SECONDS - started)) s)"; }

"$root/scripts/setup.sh"
find_rust
find_nextest
step "style"
"$root/scripts/style.sh"
cd "$root"
npm --prefix ui run build
step "building everything, with lints and documentation (the first time takes many minutes)"
export RUSTC_WORKSPACE_WRAPPER=$root/scripts/rustc.sh
# As `cargo clippy -- -D warnings` says it to its compiler.
export CLIPPY_ARGS=-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__
cargo build "${everything[@]}" --all-targets
step "the page in a browser; pictures of every page go to $cache/pictures"
PICTURES=$cache/pictures npm --prefix ui test
step "units, end to end, and the tray app on a desktop in a box"
MCPLOCAL_APP=$CARGO_TARGET_DIR/debug/mcplocal cargo nextest run "${everything[@]}"
git diff --exit-code --stat -- src-tauri/bindings || die "the page's types changed: commit them"
step "all green"
