#!/usr/bin/env bash
# Builds the tray app and starts it: first its page, then the program. BUILD=1: do not start it.
. "$(dirname "$0")/env.sh"

install_apt base desktop
find_rust
say "building the page"
install_npm ui
npm --prefix "$root/ui" run build
say "building the tray app (the first time takes many minutes)"
cargo build --locked --manifest-path "$root/Cargo.toml" -p mcplocal
program=$CARGO_TARGET_DIR/debug/mcplocal
[ -z "${BUILD:-}" ] || { echo "$program"; exit 0; }
say "starting $program; quit it from its tray icon, or with Ctrl-C"
exec "$program"
