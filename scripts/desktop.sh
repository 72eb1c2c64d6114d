#!/usr/bin/env bash
# Lints and tests the tray app: its page in a browser, its parts, and the whole of it on a desktop
# in a box.
. "$(dirname "$0")/env.sh"

install_apt base desktop test
find_rust
cd "$root"
say "the page: types, lints, build"
install_npm ui
npm --prefix ui run check
npm --prefix ui run lint
npm --prefix ui run build
say "the page in a browser; pictures of every page go to $cache/pictures"
PICTURES=$cache/pictures npm --prefix ui test
# Its dependencies want other features than the servers': a folder of its own keeps both warm.
apart=$CARGO_TARGET_DIR-desktop
say "the tray app: lints and tests (the first build takes many minutes)"
CARGO_TARGET_DIR=$apart cargo clippy --locked -p mcplocal --all-targets -- -D warnings
CARGO_TARGET_DIR=$apart cargo nextest run --locked -p mcplocal
CARGO_TARGET_DIR=$apart cargo build --locked -p mcplocal
git diff --exit-code --stat -- src-tauri/bindings || die "the page's types changed: commit them"
say "the tray app on a desktop in a box"
cargo clippy --locked -p e2e -p testkit --features desktop --all-targets -- -D warnings
cargo build --locked --bins
MCPLOCAL_APP=$apart/debug/mcplocal \
    cargo nextest run --locked -p e2e --features desktop --test desktop
