#!/usr/bin/env bash
# `make demo`: installs what is missing, builds, and shows one request from end to end.
. "$(dirname "$0")/env.sh"

groups=(base)
binaries=(-p mcpd -p mcpctl -p mcplocal-agent)
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    groups+=(desktop)
fi
install_apt "${groups[@]}"
find_rust
say "building mcpd, mcplocal-agent and mcpctl (the first time takes minutes)"
cargo build --manifest-path "$root/Cargo.toml" --bins "${binaries[@]}"
if [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then
    BUILD=1 "$root/scripts/app.sh"
fi
exec python3 "$root/scripts/demo.py" "$CARGO_TARGET_DIR/debug"
