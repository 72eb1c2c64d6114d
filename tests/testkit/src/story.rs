//! The logs of a story on real processes, as one history that can be checked: what callers, mcpd,
//! publisher and backend saw.

use jiff::Timestamp;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use trust::history::{Fact, History};

/// Microseconds, by a clock that all processes of the machine share.
#[must_use]
pub fn now() -> u64 {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(unix.as_micros()).unwrap()
}

/// What was seen so far.
#[derive(Clone, Default)]
pub struct Story(Arc<Mutex<Vec<(u64, Fact)>>>);

impl Story {
    /// Something is seen now.
    pub fn saw(&self, fact: Fact) {
        self.saw_at(now(), fact);
    }

    /// Something was seen then.
    pub fn saw_at(&self, at: u64, fact: Fact) {
        self.0.lock().push((at, fact));
    }

    /// Whether such a thing was seen.
    #[must_use]
    pub fn has(&self, such: impl Fn(&Fact) -> bool) -> bool {
        self.0.lock().iter().any(|(_, fact)| such(fact))
    }

    /// What the backend printed.
    pub fn take_backends_log(&self, log: &str) {
        self.0.lock().extend(log.lines().filter_map(printed));
    }

    /// What mcpd or an agent logged. Each log once: it has its own times.
    pub fn take_log(&self, log: &str) {
        self.0.lock().extend(log.lines().filter_map(logged));
    }

    /// A backend was killed: what it had open is closed.
    pub fn backend_died(&self) {
        let at = now();
        let mut story = self.0.lock();
        let mut open = BTreeMap::<u64, u64>::new();
        for (_, fact) in &*story {
            if let Fact::BackendStarted(call) = fact {
                *open.entry(*call).or_default() += 1;
            } else if let Fact::BackendClosed(call) = fact {
                *open.entry(*call).or_default() -= 1;
            }
        }
        for (call, count) in open {
            story.extend((0..count).map(|_| (at, Fact::BackendClosed(call))));
        }
    }

    /// Wakes that have begun and not ended, and when they began.
    #[must_use]
    pub fn wakes(&self) -> BTreeMap<String, u64> {
        let mut open = BTreeMap::new();
        for (at, fact) in &*self.0.lock() {
            if let Fact::WakeStarted { model: row } = fact {
                open.insert(row.clone(), *at);
            } else if let Fact::WakeEnded { model: row } = fact {
                open.remove(row);
            }
        }
        open
    }

    /// All of it, in order of time.
    #[must_use]
    pub fn history(&self) -> History {
        let mut story = self.0.lock().clone();
        story.sort_by_key(|(at, _)| *at);
        let mut history = History::default();
        for (at, fact) in story {
            history.record(at / 1000, fact);
        }
        history
    }
}

/// A line of the backend's.
fn printed(line: &str) -> Option<(u64, Fact)> {
    let mut words = line.split(' ');
    let at = words.next()?.parse().ok()?;
    let (word, call) = (words.next()?, words.next()?.parse().ok()?);
    let piece = words.next().and_then(|piece| piece.parse().ok());
    let fact = match (word, piece) {
        ("runs", None) => Fact::BackendStarted(call),
        ("writes", Some(piece)) => Fact::BackendWrote { call, chunk: piece },
        ("finishes", None) => Fact::BackendFinished(call),
        ("closes", None) => Fact::BackendClosed(call),
        _ => return None,
    };
    Some((at, fact))
}

/// A line of mcpd's or of an agent's.
fn logged(line: &str) -> Option<(u64, Fact)> {
    let row = field(line, "llm")?;
    let says = |what: &str| line.contains(what);
    let fact = if says("a task is dispatched") {
        // A story's callers give their requests their own numbers.
        Fact::Dispatched { call: field(line, "request")?.parse().ok()?, model: row }
    } else if says("a model is published") {
        Fact::Published { model: row }
    } else if says("a model is withdrawn") {
        Fact::Withdrawn { model: row }
    } else if says("the wake recipe begins") {
        Fact::WakeStarted { model: row }
    } else if says("the wake ends") {
        Fact::WakeEnded { model: row }
    } else {
        return None;
    };
    let at: Timestamp = line.split(' ').next()?.parse().ok()?;
    Some((u64::try_from(at.as_microsecond()).ok()?, fact))
}

/// What a log line says of this.
fn field(line: &str, name: &str) -> Option<String> {
    let (_, value) = line.split_once(&format!(" {name}="))?;
    Some(value.split(' ').next()?.trim_matches('"').to_owned())
}
