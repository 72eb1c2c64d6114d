#!/usr/bin/env bash
# The checks that need no compiler: formatting, circles of imports, the page's types and lints.
. "$(dirname "$0")/env.sh"

find_rust
cd "$root"
say "formatting and imports"
cargo fmt --all --check
scripts/circles.py
say "the page: types and lints"
npm --prefix ui run check
npm --prefix ui run lint
