//! Randomised tests of the protocol's guarantees.
//!
//! Every random decision is drawn from [`choices::Choices`], which a seed, a property test or a fuzzer
//! can provide. All three therefore share one generator, and can replay each other's findings.
//!
//! | module | content |
//! |---|---|
//! | [`choices`] | source of random decisions: a seed, or bytes |
//! | [`relay_machine`] | random event sequences for the relay, compared with a reference model |
//! | [`reconnect_policy`] | random connection endings for the registrar's reconnect policy |
//! | [`simulation`] | callers, publishers and a faulty network around the real relay and session |
//! | [`history`] | events observed by all parties, and the checker of the invariants |
//! | [`fuzz_targets`] | fuzz targets for the parsers of untrusted input and the state machines |
//! | [`corpus`] | stored inputs of the fuzz targets |
//!
//! The checker also reads histories of real processes (`tests/chaos`).

pub mod choices;
pub mod corpus;
pub mod fuzz_targets;
mod hang_detector;
pub mod history;
pub mod reconnect_policy;
pub mod relay_machine;
pub mod simulation;
mod stored_state;
