#!/usr/bin/env bash
# Prints the path of rathole, a reverse tunnel that the benchmark compares with. Builds it the first
# time.
. "$(dirname "$0")/env.sh"

version=0.5.0
program=$cache/tools/bin/rathole
if ! "$program" --version 2>/dev/null | grep -q "noise" ||
    ! "$program" --version | grep -q "$version"; then
    find_rust
    say "building rathole $version (once; some minutes)" >&2
    # Not --locked: a dependency pinned in its lock file no longer compiles.
    cargo install --root "$cache/tools" --no-default-features \
        --features server,client,noise --version "$version" rathole >&2
fi
echo "$program"
