//! Property tests: random event sequences for the relay and the registrar's reconnect policy. The
//! sequences are the same on every run, so that a change is judged by its own effect; `make soak` and
//! `make fuzz` look for new ones.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use trust::choices::Choices;

const STEPS: usize = 200;
/// Most bytes of choices that these many events use.
const BYTES: usize = STEPS * 12;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(1),
        ..<_>::default()
    })]

    #[test]
    fn the_relay_agrees_with_the_model_after_every_event_and_ends_empty(
        bytes in prop::collection::vec(any::<u8>(), 0..BYTES)
    ) {
        trust::relay_machine::run(&mut Choices::from_bytes(&bytes), STEPS)
            .map_err(TestCaseError::fail)?;
    }

    #[test]
    fn a_publisher_reconnects_after_temporary_endings_and_stops_after_final_ones(
        bytes in prop::collection::vec(any::<u8>(), 0..BYTES)
    ) {
        trust::reconnect_policy::run(&mut Choices::from_bytes(&bytes), STEPS)
            .map_err(TestCaseError::fail)?;
    }
}
