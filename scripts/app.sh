#!/usr/bin/env bash
# Builds the tray app: first its page, then the program.
. "$(dirname "$0")/env.sh"

install_apt base desktop
find_rust
say "building the page"
install_npm ui
npm --prefix "$root/ui" run build
say "building the tray app (the first time takes many minutes)"
# Its dependencies want other features than the servers': a folder of its own keeps both warm.
CARGO_TARGET_DIR=$CARGO_TARGET_DIR-desktop \
    cargo build --manifest-path "$root/Cargo.toml" -p mcplocal "$@"
