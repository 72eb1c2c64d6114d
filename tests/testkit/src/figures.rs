//! Figures that tests measure. They are printed as `figure: …` lines, which `make trust` collects into
//! docs/trust.md.

use std::fmt::Display;
use std::time::Duration;

/// True under `make trust`, where tests run in full and with real waits. Otherwise they do less of the
/// same, with shorter waits.
#[must_use]
pub fn thorough() -> bool {
    std::env::var_os("TRUST_THOROUGH").is_some()
}

/// Number of repetitions: `full` in a thorough run, `short` otherwise.
#[must_use]
pub fn times(full: usize, short: usize) -> usize {
    if thorough() { full } else { short }
}

/// Factor of all waits: 1 in a thorough run, a tenth otherwise.
#[must_use]
pub fn scale() -> f64 {
    if thorough() { 1.0 } else { 0.1 }
}

/// A real wait, multiplied by [`scale`].
#[must_use]
pub fn scaled(real: Duration) -> Duration {
    real.mul_f64(scale())
}

/// Prints a measured figure beside its bound.
#[expect(clippy::print_stdout, reason = "stdout is where make trust reads them")]
pub fn record(promise: &str, found: impl Display, promised: &str) {
    println!("figure: {promise} | {found} | {promised}");
}

/// A percentile of sorted values.
#[must_use]
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// A duration as text, in milliseconds.
#[must_use]
pub fn ms(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}
