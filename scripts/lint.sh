#!/usr/bin/env bash
# Formatting and lints of everything but the tray app (see desktop.sh for that).
. "$(dirname "$0")/env.sh"

install_apt base
find_rust
cd "$root"
say "formatting"
cargo fmt --all --check
say "lints"
cargo clippy --all-targets --locked -- -D warnings
cargo clippy --all-targets --locked -p bench -- -D warnings
say "documentation"
# Help texts are doc comments too, and show URLs as people type them.
RUSTDOCFLAGS="-D warnings -A rustdoc::bare_urls" cargo doc --no-deps --locked --quiet
