#!/usr/bin/env bash
# Measures the tray app as people install it: memory, idle CPU, times. `--keep` writes the figures
# down in docs/desktop-figures.json.
. "$(dirname "$0")/env.sh"

install_apt base desktop test
"$root/scripts/package.sh" deb
find_rust
cd "$root"
cargo build --locked --bins
cargo build --locked -p testkit --features desktop --bin figures
MCPLOCAL_APP=$CARGO_TARGET_DIR/desktop/mcplocal "$CARGO_TARGET_DIR/debug/figures" "$@"
