//! Figures that tests find, for people: `make trust` collects them into docs/trust.md.

use std::fmt::Display;
use std::time::Duration;

/// Whether there is time for the whole of it: `make trust` says so. Otherwise tests do less of the
/// same, with shorter waits.
#[must_use]
pub fn thorough() -> bool {
    std::env::var_os("TRUST_THOROUGH").is_some()
}

/// How often something is done: all of it, or less.
#[must_use]
pub fn times(all: usize, less: usize) -> usize {
    if thorough() { all } else { less }
}

/// The factor of all waits: real ones, or a tenth.
#[must_use]
pub fn scale() -> f64 {
    if thorough() { 1.0 } else { 0.1 }
}

/// A real wait, in this run's scale.
#[must_use]
pub fn scaled(real: Duration) -> Duration {
    real.mul_f64(scale())
}

/// Tells a figure and what was promised of it.
#[expect(clippy::print_stdout, reason = "this is what the tests are run for")]
pub fn figure(promise: &str, found: impl Display, promised: &str) {
    println!("figure: {promise} | {found} | {promised}");
}

/// Of sorted values, in milliseconds.
#[must_use]
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// A time as people read it.
#[must_use]
pub fn ms(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
