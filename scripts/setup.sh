#!/usr/bin/env bash
# `make setup`: installs everything that builds and tests need and that is missing. Quick when nothing is.
. "$(dirname "$0")/env.sh"

install_apt base desktop test
find_rust
find_nextest
say "the page's packages, the foreign clients"
install_npm ui
install_npm tests/clients
say "the real backend, a proxy"
"$root/scripts/backend.sh" >/dev/null
"$root/scripts/nginx.sh" >/dev/null
