#!/usr/bin/env bash
# `make lint`: formatting, imports, lints and documentation of everything. Installs nothing.
. "$(dirname "$0")/env.sh"

find_rust
is_set_up
"$root/scripts/style.sh"
cd "$root"
npm --prefix ui run build
say "lints"
cargo clippy "${everything[@]}" --all-targets -- -D warnings
say "documentation"
# Help texts are doc comments too, and show URLs as people type them.
RUSTDOCFLAGS="-D warnings -A rustdoc::bare_urls" cargo doc "${everything[@]}" --no-deps --quiet
