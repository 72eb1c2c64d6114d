//! Any sequence of events keeps the relay's promises, and any sequence of endings the session's.

use proptest::prelude::*;
use trust::tape::Tape;

const STEPS: usize = 200;
/// Bytes of tape that so many events use at most.
const TAPE: usize = STEPS * 12;

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..<_>::default() })]

    #[test]
    fn the_relay_agrees_with_the_model_after_every_event_and_is_empty_in_the_end(
        bytes in prop::collection::vec(any::<u8>(), 0..TAPE)
    ) {
        trust::machine::run(&mut Tape::written(&bytes), STEPS).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn a_session_comes_back_when_it_should_and_stops_when_only_a_person_can_help(
        bytes in prop::collection::vec(any::<u8>(), 0..TAPE)
    ) {
        trust::session::run(&mut Tape::written(&bytes), STEPS).map_err(TestCaseError::fail)?;
    }
}
