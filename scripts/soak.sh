#!/usr/bin/env bash
# `make soak`: a million simulated requests, and a million random events for each state machine.
# SEED=n starts from another random seed; TASKS=n changes the number of requests and events.
. "$(dirname "$0")/env.sh"

install_apt base
find_rust
cd "$root"
cargo run --release --locked -p trust --bin soak -- --tasks "${TASKS:-1000000}" --seed "${SEED:-0}"
