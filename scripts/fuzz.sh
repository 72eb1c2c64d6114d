#!/usr/bin/env bash
# `make fuzz`: looks for inputs that break a promise, so many seconds for each target (FOR=60), and
# keeps what reaches new code in tests/trust/corpora, which the tests replay.
. "$(dirname "$0")/env.sh"

install_apt base
find_rust
export PATH=$cache/tools/bin:$PATH CARGO_TARGET_DIR=$cache/target-fuzz
if ! cargo fuzz --version >/dev/null 2>&1; then
    say "installing cargo-fuzz (once)"
    cargo install --locked --root "$cache/tools" cargo-fuzz
fi
# Its flags are a nightly compiler's; the stable one takes them when it is told to.
export RUSTC_BOOTSTRAP=1
cd "$root/tests/trust/fuzz"
for target in $(cargo fuzz list --fuzz-dir .); do
    say "fuzzing $target"
    found=$(mktemp -d)
    cargo fuzz run --fuzz-dir . -s none "$target" "$found" "../corpora/$target" -- \
        -max_total_time="${FOR:-60}" -max_len=4096 -timeout=10 -print_final_stats=0 -verbosity=0
    # As few as reach what the corpus did not reach yet.
    cargo fuzz run --fuzz-dir . -s none "$target" "../corpora/$target" "$found" -- \
        -set_cover_merge=1 -use_counters=0 -max_len=4096 -verbosity=0
    rm -r "$found"
done
say "no promise was broken"
