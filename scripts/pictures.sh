#!/usr/bin/env bash
# Takes the README's pictures of the real tray app. Installs a panel for them (Debian).
. "$(dirname "$0")/env.sh"

install_apt base desktop test pictures
BUILD=1 "$root/scripts/app.sh"
find_rust
cd "$root"
cargo build --locked --bins
cargo build --locked -p testkit --features desktop --bin pictures
MCPLOCAL_APP=$CARGO_TARGET_DIR/debug/mcplocal "$CARGO_TARGET_DIR/debug/pictures"
