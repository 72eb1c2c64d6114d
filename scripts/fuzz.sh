#!/usr/bin/env bash
# `make fuzz`: fuzzes every target for FOR seconds (default 60) and adds the inputs that reach new
# code to the archives in tests/trust/corpora, which the tests replay. An input that fails is left in
# tests/trust/fuzz/artifacts: add it to tests/trust/corpora/regressions/TARGET once it is fixed.
. "$(dirname "$0")/env.sh"

install_apt base
find_rust
cd "$root"
cargo build --locked -p trust --bin corpus
corpus=$CARGO_TARGET_DIR/debug/corpus
export PATH=$cache/tools/bin:$PATH CARGO_TARGET_DIR=$cache/target-fuzz
if ! cargo fuzz --version >/dev/null 2>&1; then
    say "installing cargo-fuzz (once)"
    cargo install --locked --root "$cache/tools" cargo-fuzz
fi
# cargo-fuzz passes flags of the nightly compiler; the stable one accepts them with this variable.
export RUSTC_BOOTSTRAP=1
cd "$root/tests/trust/fuzz"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for target in $(cargo fuzz list --fuzz-dir .); do
    say "fuzzing $target"
    known=$folder/$target/known found=$folder/$target/found
    mkdir -p "$known" "$found"
    "$corpus" unpack "$target" "$known"
    cargo fuzz run --fuzz-dir . -s none "$target" "$found" "$known" -- \
        -max_total_time="${FOR:-60}" -max_len=4096 -timeout=10 -print_final_stats=0 -verbosity=0
    # Keeps the smallest set of new inputs that reaches what the known ones do not.
    cargo fuzz run --fuzz-dir . -s none "$target" "$known" "$found" -- \
        -set_cover_merge=1 -use_counters=0 -max_len=4096 -verbosity=0
    "$corpus" pack "$target" "$known"
done
say "every target passed"
