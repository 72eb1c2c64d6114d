#!/usr/bin/env bash
# Lints, tests and starts the tray app, on a desktop of its own that nobody sees.
. "$(dirname "$0")/env.sh"

install_apt base desktop
find_rust
cd "$root"
say "the page: types, lints, build"
install_npm ui
npm --prefix ui run check
npm --prefix ui run lint
npm --prefix ui run build
# Its dependencies want other features than the servers': a folder of its own keeps both warm.
export CARGO_TARGET_DIR=$CARGO_TARGET_DIR-desktop
say "the tray app: lints and tests (the first build takes many minutes)"
cargo clippy --locked -p mcplocal --all-targets -- -D warnings
cargo nextest run --locked -p mcplocal
cargo build --locked -p mcplocal
say "the tray app on a desktop"
dbus-run-session -- xvfb-run -a -s "-screen 0 1000x750x24" \
    "$root/scripts/smoke.py" "$CARGO_TARGET_DIR/debug/mcplocal" ${PICTURE:+"$PICTURE"}
