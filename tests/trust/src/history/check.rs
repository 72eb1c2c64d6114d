//! The invariants, checked over a history.

use super::{Call, Fact, History};
use std::collections::{BTreeMap, BTreeSet};

/// What the setting allows.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// A backend's connection is closed so long after its caller has left, in milliseconds.
    pub closed_within: u64,
    /// A response ends so long after the request.
    pub ended_within: u64,
    /// Backends may run a task once, and so many times more before its first byte.
    pub runs_again: u64,
}

/// One call, as far as the history tells.
#[derive(Default)]
struct Seen {
    asked: Option<u64>,
    outcomes: Vec<u64>,
    left: Option<u64>,
    received: u64,
    /// Pieces written by the run whose answer is received.
    written: u64,
    finished: bool,
    complete: bool,
    runs: u64,
    open: u64,
    closed: Option<u64>,
}

/// Every breach, in words; none is the aim.
#[must_use]
pub fn check(history: &History, bounds: &Bounds) -> Vec<String> {
    let mut checker = Checker { calls: BTreeMap::new(), breaches: Vec::new() };
    checker.read(history);
    checker.judge(history.entries.last().map_or(0, |entry| entry.at), bounds);
    checker.breaches
}

struct Checker {
    calls: BTreeMap<Call, Seen>,
    breaches: Vec<String>,
}

impl Checker {
    fn read(&mut self, history: &History) {
        let (mut withdrawn, mut waking) = (BTreeSet::new(), BTreeSet::new());
        for entry in &history.entries {
            let at = entry.at;
            match &entry.fact {
                Fact::Asks(call) => self.of(*call).asked = Some(at),
                Fact::Receives { call, of, piece } => self.receives(*call, *of, *piece, at),
                Fact::Ends { call, complete } => {
                    let seen = self.of(*call);
                    seen.outcomes.push(at);
                    seen.complete |= *complete;
                }
                Fact::Leaves(call) => {
                    let seen = self.of(*call);
                    seen.outcomes.push(at);
                    seen.left = Some(at);
                }
                Fact::Runs(call) => self.runs(*call, at),
                Fact::Writes { call, piece } => {
                    let seen = self.of(*call);
                    seen.written = seen.written.max(piece + 1);
                }
                Fact::Finishes(call) => self.of(*call).finished = true,
                Fact::Closes(call) => {
                    let seen = self.of(*call);
                    seen.open = seen.open.saturating_sub(1);
                    seen.closed = Some(at);
                }
                Fact::Withdrawn { row } => drop(withdrawn.insert(row.clone())),
                Fact::Published { row } => drop(withdrawn.remove(row)),
                Fact::Dispatched { call, row } if withdrawn.contains(row) => {
                    self.breach(10, at, format!("{call} goes to {row}, which is withdrawn"));
                }
                Fact::Dispatched { .. } => {}
                Fact::WakeBegins { row } => {
                    if !waking.insert(row.clone()) {
                        self.breach(8, at, format!("{row} is woken twice at a time"));
                    }
                }
                Fact::WakeEnds { row } => drop(waking.remove(row)),
                Fact::Touches { own: false } => {
                    self.breach(9, at, "somebody was let at another's object".into());
                }
                Fact::Touches { own: true } | Fact::Holds(0) => {}
                Fact::Holds(left) => self.breach(7, at, format!("{left} are held in the end")),
            }
        }
    }

    fn of(&mut self, call: Call) -> &mut Seen {
        self.calls.entry(call).or_default()
    }

    fn breach(&mut self, invariant: u8, at: u64, why: String) {
        self.breaches.push(format!("I{invariant} at {at} ms: {why}"));
    }

    fn runs(&mut self, call: Call, at: u64) {
        let seen = self.of(call);
        seen.runs += 1;
        seen.open += 1;
        seen.finished = false;
        seen.written = 0;
        if seen.received > 0 {
            self.breach(4, at, format!("{call} is run again after its first byte"));
        }
    }

    fn receives(&mut self, call: Call, of: Call, piece: u64, at: u64) {
        if of != call {
            self.breach(2, at, format!("{call} gets text of {of}"));
        }
        let seen = self.of(call);
        let (expected, over) = (seen.received, !seen.outcomes.is_empty());
        seen.received = piece + 1;
        let written = seen.written;
        if piece != expected {
            self.breach(3, at, format!("{call} gets piece {piece} for {expected}"));
        }
        if piece >= written {
            self.breach(3, at, format!("{call} gets piece {piece}; {written} were written"));
        }
        if over {
            self.breach(6, at, format!("{call} gets a piece after its end"));
        }
    }

    fn judge(&mut self, end: u64, bounds: &Bounds) {
        for (call, seen) in std::mem::take(&mut self.calls) {
            let outcomes = seen.outcomes.len();
            if outcomes != 1 {
                self.breach(1, end, format!("{call} has {outcomes} outcomes"));
            }
            if seen.complete && !(seen.finished && seen.received == seen.written) {
                let Seen { received, written, finished, .. } = seen;
                let what = format!("{received} of {written} pieces, finished: {finished}");
                self.breach(3, end, format!("{call} is complete with {what}"));
            }
            if seen.runs > 1 + bounds.runs_again {
                self.breach(4, end, format!("{call} is run {} times", seen.runs));
            }
            if seen.open > 0 {
                self.breach(7, end, format!("{call}'s backend still works"));
            }
            if let (Some(left), Some(closed)) = (seen.left, seen.closed)
                && closed > left + bounds.closed_within
            {
                let late = closed - left;
                self.breach(5, closed, format!("{call}'s backend works {late} ms for nobody"));
            }
            if let (Some(asked), Some(ended)) = (seen.asked, seen.outcomes.first())
                && *ended > asked + bounds.ended_within
            {
                self.breach(7, *ended, format!("{call} took {} ms", ended - asked));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Bounds, Fact, History, check};

    const BOUNDS: Bounds = Bounds { closed_within: 250, ended_within: 10_000, runs_again: 1 };

    fn row() -> String {
        "m".into()
    }

    /// Two calls that are answered as they should, one whose caller leaves, a wake and a withdrawal;
    /// ten milliseconds between any two facts.
    fn good() -> Vec<Fact> {
        use Fact::{
            Asks, Closes, Dispatched, Ends, Finishes, Holds, Leaves, Receives, Runs, Touches,
            WakeBegins, WakeEnds, Withdrawn, Writes,
        };
        let answered = |call| {
            vec![
                Asks(call),
                Dispatched { call, row: row() },
                Runs(call),
                Writes { call, piece: 0 },
                Receives { call, of: call, piece: 0 },
                Writes { call, piece: 1 },
                Receives { call, of: call, piece: 1 },
                Finishes(call),
                Closes(call),
                Ends { call, complete: true },
            ]
        };
        let mut facts = vec![WakeBegins { row: row() }, WakeEnds { row: row() }];
        facts.extend(answered(1));
        facts.extend(answered(2));
        facts.extend([Asks(3), Runs(3), Leaves(3), Closes(3), Touches { own: true }]);
        facts.extend([Withdrawn { row: row() }, Holds(0)]);
        facts
    }

    fn found(facts: &[Fact]) -> Vec<String> {
        let mut history = History::default();
        for (number, fact) in (0..).zip(facts) {
            history.saw(number * 10, fact.clone());
        }
        check(&history, &BOUNDS)
    }

    /// What is found when these facts stand behind the first one like this.
    fn after(place: &Fact, more: &[Fact]) -> Vec<String> {
        let mut facts = good();
        let at = facts.iter().position(|fact| fact == place).unwrap() + 1;
        facts.splice(at..at, more.iter().cloned());
        found(&facts)
    }

    fn without(gone: &Fact) -> Vec<String> {
        let mut facts = good();
        facts.retain(|fact| fact != gone);
        found(&facts)
    }

    #[test]
    fn a_good_story_has_no_breach() {
        assert_eq!(found(&good()), Vec::<String>::new());
    }

    #[test]
    fn a_breach_of_every_invariant_is_found() {
        use Fact::{
            Asks, Closes, Dispatched, Ends, Holds, Leaves, Receives, Runs, Touches, WakeBegins,
            Withdrawn, Writes,
        };
        let first = Writes { call: 1, piece: 1 };
        let piece = |call, of, piece| Receives { call, of, piece };
        let ended = Ends { call: 1, complete: true };
        let late = vec![Touches { own: true }; 30];
        let long = vec![Touches { own: true }; 1_100];
        let cases = [
            ("I1", after(&ended, &[Ends { call: 1, complete: false }])),
            ("I1", without(&ended)),
            ("I2", after(&first, &[piece(1, 2, 1)])),
            ("I3", without(&piece(1, 1, 0))),
            ("I3", without(&piece(1, 1, 1))),
            ("I3", after(&piece(1, 1, 1), &[piece(1, 1, 1)])),
            ("I3", without(&first)),
            ("I4", after(&Runs(1), &[Runs(1), Closes(1), Runs(1), Closes(1)])),
            ("I4", after(&piece(1, 1, 0), &[Runs(1), Closes(1)])),
            ("I5", after(&Leaves(3), &late)),
            ("I6", after(&ended, &[Writes { call: 1, piece: 2 }, piece(1, 1, 2)])),
            ("I7", after(&Asks(2), &long)),
            ("I7", after(&Leaves(3), &[Holds(1)])),
            ("I7", without(&Closes(2))),
            ("I8", after(&WakeBegins { row: row() }, &[WakeBegins { row: row() }])),
            ("I9", after(&Leaves(3), &[Touches { own: false }])),
            ("I10", after(&Withdrawn { row: row() }, &[Dispatched { call: 3, row: row() }])),
        ];
        for (number, (invariant, breaches)) in cases.iter().enumerate() {
            let hit = breaches.iter().any(|breach| breach.starts_with(&format!("{invariant} ")));
            assert!(hit, "case {number}: {invariant} is not among {breaches:?}");
        }
    }
}
