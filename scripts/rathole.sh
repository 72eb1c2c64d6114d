#!/usr/bin/env bash
# Prints where rathole is, a reverse tunnel that ours is measured beside; builds it the first time.
. "$(dirname "$0")/env.sh"

version=0.5.0
program=$cache/tools/bin/rathole
if ! "$program" --version 2>/dev/null | grep -q "noise" ||
    ! "$program" --version | grep -q "$version"; then
    find_rust
    say "building rathole $version (once; some minutes)" >&2
    # Without its lock file: a library of 2023 in it no longer compiles.
    cargo install --root "$cache/tools" --no-default-features \
        --features server,client,noise --version "$version" rathole >&2
fi
echo "$program"
