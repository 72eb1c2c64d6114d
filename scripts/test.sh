#!/usr/bin/env bash
# `make test`: everything that must pass. Installs what is missing, leaves no process behind.
. "$(dirname "$0")/env.sh"

install_apt base desktop test
find_rust
find_nextest

"$root/scripts/lint.sh"
say "the real backend, the foreign clients, a proxy"
"$root/scripts/backend.sh" >/dev/null
"$root/scripts/nginx.sh" >/dev/null
install_npm tests/clients
cd "$root"
say "building"
cargo build --locked --bins
say "unit and end-to-end tests"
cargo nextest run --locked
"$root/scripts/desktop.sh"
say "all green"
