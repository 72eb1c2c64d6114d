//! The promises of the protocol, put to the test.
//!
//! Everything here is made from a [`tape::Tape`] of choices. A seed, a property test and a fuzzer all
//! write such tapes, so that one generator serves the three, and what one of them finds the others can
//! replay.
//!
//! | room | what it is |
//! |---|---|
//! | machine | any sequence of events for the relay, beside a reference model that knows only the protocol |
//! | session | the same for the registrar's session |
//! | simulation | callers, publishers and a bad network around the real relay and the real session |
//! | targets | what a fuzzer knocks at: everything that reads strangers' bytes, and the machines |
//! | history | what was seen, by whom and when; and the checker of the invariants over it |
//!
//! The checker reads histories of real processes too (tests/chaos).

pub mod history;
pub mod machine;
pub mod session;
pub mod simulation;
pub mod tape;
pub mod targets;
mod written;
