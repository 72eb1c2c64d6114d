//! Checks the protocol's invariants I1 to I10 (see `docs/trust.md`) over a history.

use super::{Call, Fact, History};
use std::collections::{BTreeMap, BTreeSet};

/// Limits that depend on the setting of a run.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Longest time from a caller's disconnect to its backend's connection closing, in milliseconds.
    pub closed_within: u64,
    /// Longest time from a request to the end of its response, in milliseconds.
    pub ended_within: u64,
    /// Number of times a request may be run again before its first byte.
    pub retries: u64,
    /// True if the history has every dispatch: a backend runs a request at most once for each.
    pub has_dispatches: bool,
}

/// Observations of one request.
#[derive(Default)]
struct Observed {
    requested: Option<u64>,
    outcomes: Vec<u64>,
    disconnected: Option<u64>,
    /// Chunks received by the caller.
    received: u64,
    /// Chunks written by the latest run of the backend.
    written: u64,
    finished: bool,
    complete: bool,
    dispatches: u64,
    runs: u64,
    open_runs: u64,
    closed: Option<u64>,
}

/// Returns a description of every violated invariant.
#[must_use]
pub fn check(history: &History, bounds: &Bounds) -> Vec<String> {
    let mut checker = Checker { calls: BTreeMap::new(), violations: Vec::new() };
    checker.read(history);
    checker.finish(history.entries.last().map_or(0, |entry| entry.at), bounds);
    checker.violations
}

struct Checker {
    calls: BTreeMap<Call, Observed>,
    violations: Vec<String>,
}

impl Checker {
    fn read(&mut self, history: &History) {
        let (mut withdrawn, mut waking) = (BTreeSet::new(), BTreeSet::new());
        for entry in &history.entries {
            let at = entry.at;
            match &entry.fact {
                Fact::Requested(call) => self.of(*call).requested = Some(at),
                Fact::Received { call, written_for, chunk } => {
                    self.received(*call, *written_for, *chunk, at);
                }
                Fact::Damaged(call) => {
                    self.violation(3, at, format!("{call} receives bytes out of place"));
                }
                Fact::FrameRefused { call, rule } => {
                    self.violation(3, at, format!("a frame of {call} is refused: {rule}"));
                }
                Fact::Ended { call, complete } => {
                    let observed = self.of(*call);
                    observed.outcomes.push(at);
                    observed.complete |= *complete;
                }
                Fact::Disconnected(call) => {
                    let observed = self.of(*call);
                    observed.outcomes.push(at);
                    observed.disconnected = Some(at);
                }
                Fact::BackendStarted(call) => self.backend_started(*call, at),
                Fact::BackendWrote { call, chunk } => {
                    let observed = self.of(*call);
                    observed.written = observed.written.max(chunk + 1);
                }
                Fact::BackendFinished(call) => self.of(*call).finished = true,
                Fact::BackendClosed(call) => {
                    let observed = self.of(*call);
                    observed.open_runs = observed.open_runs.saturating_sub(1);
                    observed.closed = Some(at);
                }
                Fact::Withdrawn { model } => drop(withdrawn.insert(model.clone())),
                Fact::Published { model } => drop(withdrawn.remove(model)),
                Fact::Dispatched { call, model } => {
                    self.of(*call).dispatches += 1;
                    if withdrawn.contains(model) {
                        let what = format!("{call} is sent to withdrawn model {model}");
                        self.violation(10, at, what);
                    }
                }
                Fact::WakeStarted { model } => {
                    if !waking.insert(model.clone()) {
                        self.violation(8, at, format!("two wakes of {model} at the same time"));
                    }
                }
                Fact::WakeEnded { model } => drop(waking.remove(model)),
                Fact::AccessGranted { own: false } => {
                    self.violation(9, at, "access to another party's object was granted".into());
                }
                Fact::AccessGranted { own: true } | Fact::Interrupted(_) | Fact::Remaining(0) => {}
                Fact::Remaining(count) => {
                    self.violation(7, at, format!("{count} objects are still held at the end"));
                }
            }
        }
    }

    fn of(&mut self, call: Call) -> &mut Observed {
        self.calls.entry(call).or_default()
    }

    fn violation(&mut self, invariant: u8, at: u64, what: String) {
        self.violations.push(format!("I{invariant} at {at} ms: {what}"));
    }

    fn backend_started(&mut self, call: Call, at: u64) {
        let observed = self.of(call);
        observed.runs += 1;
        observed.open_runs += 1;
        observed.finished = false;
        observed.written = 0;
        if observed.received > 0 {
            self.violation(4, at, format!("{call} is run again after its first byte"));
        }
    }

    fn received(&mut self, call: Call, written_for: Call, chunk: u64, at: u64) {
        if written_for != call {
            self.violation(2, at, format!("{call} receives text of {written_for}"));
        }
        let observed = self.of(call);
        let (expected, ended) = (observed.received, !observed.outcomes.is_empty());
        observed.received = chunk + 1;
        let written = observed.written;
        if chunk != expected {
            self.violation(3, at, format!("{call} receives chunk {chunk} instead of {expected}"));
        }
        if chunk >= written {
            let what = format!("{call} receives chunk {chunk}, but {written} were written");
            self.violation(3, at, what);
        }
        if ended {
            self.violation(6, at, format!("{call} receives a chunk after its end"));
        }
    }

    fn finish(&mut self, end: u64, bounds: &Bounds) {
        for (call, observed) in std::mem::take(&mut self.calls) {
            let Observed { received, written, finished, .. } = observed;
            let outcomes = observed.outcomes.len();
            if outcomes != 1 {
                self.violation(1, end, format!("{call} has {outcomes} outcomes"));
            }
            if observed.complete && !(finished && received == written) {
                let what = format!("{received} of {written} chunks, finished: {finished}");
                self.violation(3, end, format!("{call} is complete with {what}"));
            }
            if observed.runs > 1 + bounds.retries {
                self.violation(4, end, format!("{call} is run {} times", observed.runs));
            }
            if bounds.has_dispatches && observed.runs > observed.dispatches {
                let what = format!("{} runs, {} dispatches", observed.runs, observed.dispatches);
                self.violation(4, end, format!("{call} has {what}"));
            }
            if observed.open_runs > 0 {
                self.violation(7, end, format!("the backend of {call} is still working"));
            }
            if let (Some(left), Some(closed)) = (observed.disconnected, observed.closed)
                && closed > left + bounds.closed_within
            {
                let late = closed - left;
                let what = format!("the backend of {call} works {late} ms after the disconnect");
                self.violation(5, closed, what);
            }
            if let (Some(requested), Some(ended)) = (observed.requested, observed.outcomes.first())
                && *ended > requested + bounds.ended_within
            {
                self.violation(7, *ended, format!("{call} took {} ms", ended - requested));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bounds, Fact, History, check};

    const BOUNDS: Bounds =
        Bounds { closed_within: 250, ended_within: 10_000, retries: 1, has_dispatches: true };

    fn model() -> String {
        "m".into()
    }

    /// A history without violations: a wake, two complete requests, one whose caller disconnects, and
    /// a withdrawal.
    fn valid() -> Vec<Fact> {
        use Fact::{
            AccessGranted, BackendClosed, BackendFinished, BackendStarted, BackendWrote,
            Disconnected, Dispatched, Ended, Interrupted, Received, Remaining, Requested,
            WakeEnded, WakeStarted, Withdrawn,
        };
        let complete_call = |call| {
            vec![
                Requested(call),
                Dispatched { call, model: model() },
                BackendStarted(call),
                BackendWrote { call, chunk: 0 },
                Received { call, written_for: call, chunk: 0 },
                BackendWrote { call, chunk: 1 },
                Received { call, written_for: call, chunk: 1 },
                BackendFinished(call),
                BackendClosed(call),
                Ended { call, complete: true },
            ]
        };
        let mut facts = vec![WakeStarted { model: model() }, WakeEnded { model: model() }];
        facts.extend(complete_call(1));
        facts.extend(complete_call(2));
        facts.extend([
            Requested(3),
            Dispatched { call: 3, model: model() },
            Interrupted(3),
            BackendStarted(3),
            Disconnected(3),
            BackendClosed(3),
            AccessGranted { own: true },
        ]);
        facts.extend([Withdrawn { model: model() }, Remaining(0)]);
        facts
    }

    /// Checks these facts, ten milliseconds apart.
    fn violations(facts: &[Fact]) -> Vec<String> {
        let mut history = History::default();
        for (number, fact) in (0..).zip(facts) {
            history.record(number * 10, fact.clone());
        }
        check(&history, &BOUNDS)
    }

    /// Checks the valid history with these facts inserted after the first one that equals `place`.
    fn inserted(place: &Fact, more: &[Fact]) -> Vec<String> {
        let mut facts = valid();
        let at = facts.iter().position(|fact| fact == place).unwrap() + 1;
        facts.splice(at..at, more.iter().cloned());
        violations(&facts)
    }

    /// Checks the valid history without this fact.
    fn without(removed: &Fact) -> Vec<String> {
        let mut facts = valid();
        facts.retain(|fact| fact != removed);
        violations(&facts)
    }

    #[test]
    fn a_valid_history_has_no_violation() {
        assert_eq!(violations(&valid()), Vec::<String>::new());
    }

    #[test]
    fn a_violation_of_every_invariant_is_found() {
        use Fact::{
            AccessGranted, BackendClosed, BackendStarted, BackendWrote, Damaged, Disconnected,
            Dispatched, Ended, FrameRefused, Received, Remaining, Requested, WakeStarted,
            Withdrawn,
        };
        let first = BackendWrote { call: 1, chunk: 1 };
        let chunk = |call, written_for, chunk| Received { call, written_for, chunk };
        let ended = Ended { call: 1, complete: true };
        let late = vec![AccessGranted { own: true }; 30];
        let long = vec![AccessGranted { own: true }; 1_100];
        let cases = [
            ("I1", inserted(&ended, &[Ended { call: 1, complete: false }])),
            ("I1", without(&ended)),
            ("I2", inserted(&first, &[chunk(1, 2, 1)])),
            ("I3", without(&chunk(1, 1, 0))),
            ("I3", without(&chunk(1, 1, 1))),
            ("I3", inserted(&chunk(1, 1, 1), &[chunk(1, 1, 1)])),
            ("I3", without(&first)),
            ("I3", inserted(&first, &[Damaged(1)])),
            ("I3", inserted(&first, &[FrameRefused { call: 1, rule: "gap".into() }])),
            ("I4", without(&Dispatched { call: 1, model: model() })),
            (
                "I4",
                inserted(
                    &BackendStarted(1),
                    &[BackendStarted(1), BackendClosed(1), BackendStarted(1), BackendClosed(1)],
                ),
            ),
            ("I4", inserted(&chunk(1, 1, 0), &[BackendStarted(1), BackendClosed(1)])),
            ("I5", inserted(&Disconnected(3), &late)),
            ("I6", inserted(&ended, &[BackendWrote { call: 1, chunk: 2 }, chunk(1, 1, 2)])),
            ("I7", inserted(&Requested(2), &long)),
            ("I7", inserted(&Disconnected(3), &[Remaining(1)])),
            ("I7", without(&BackendClosed(2))),
            ("I8", inserted(&WakeStarted { model: model() }, &[WakeStarted { model: model() }])),
            ("I9", inserted(&Disconnected(3), &[AccessGranted { own: false }])),
            (
                "I10",
                inserted(&Withdrawn { model: model() }, &[Dispatched { call: 3, model: model() }]),
            ),
        ];
        for (number, (invariant, found)) in cases.iter().enumerate() {
            let hit = found.iter().any(|violation| violation.starts_with(&format!("{invariant} ")));
            assert!(hit, "case {number}: {invariant} is not among {found:?}");
        }
    }
}
