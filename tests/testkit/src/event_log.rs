//! Events of a test on real processes, merged from the logs of callers, mcpd, agents and backends into
//! one history that the checker of `trust` reads.

use jiff::Timestamp;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use trust::history::{Fact, History};

/// Unix time in microseconds: the clock that all processes of the machine share.
#[must_use]
pub fn unix_micros() -> u64 {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(unix.as_micros()).unwrap()
}

/// The events so far, each with its time in Unix microseconds. Clones share them.
#[derive(Clone, Default)]
pub struct EventLog(Arc<Mutex<Vec<(u64, Fact)>>>);

impl EventLog {
    /// Records an event that happens now.
    pub fn record(&self, fact: Fact) {
        self.record_at(unix_micros(), fact);
    }

    /// Records an event of this time.
    pub fn record_at(&self, at: u64, fact: Fact) {
        self.0.lock().push((at, fact));
    }

    /// True if an event fulfils `condition`.
    #[must_use]
    pub fn contains(&self, condition: impl Fn(&Fact) -> bool) -> bool {
        self.0.lock().iter().any(|(_, fact)| condition(fact))
    }

    /// Adds the stdout of a recording backend.
    pub fn add_backend_log(&self, log: &str) {
        self.0.lock().extend(log.lines().filter_map(backend_event));
    }

    /// Adds the log of mcpd or of an agent. Its lines carry their own times; each log must be added
    /// only once.
    pub fn add_process_log(&self, log: &str) {
        self.0.lock().extend(log.lines().filter_map(process_event));
    }

    /// Records that a killed backend's open connections are closed.
    pub fn record_backend_killed(&self) {
        let at = unix_micros();
        let mut events = self.0.lock();
        let mut open = BTreeMap::<u64, u64>::new();
        for (_, fact) in &*events {
            if let Fact::BackendStarted(call) = fact {
                *open.entry(*call).or_default() += 1;
            } else if let Fact::BackendClosed(call) = fact {
                *open.entry(*call).or_default() -= 1;
            }
        }
        for (call, count) in open {
            events.extend((0..count).map(|_| (at, Fact::BackendClosed(call))));
        }
    }

    /// Wakes that have begun and not ended: catalogue entry and begin.
    #[must_use]
    pub fn open_wakes(&self) -> BTreeMap<String, u64> {
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

    /// All events in order of time.
    #[must_use]
    pub fn history(&self) -> History {
        let mut events = self.0.lock().clone();
        events.sort_by_key(|(at, _)| *at);
        let mut history = History::default();
        for (at, fact) in events {
            history.record(at / 1000, fact);
        }
        history
    }
}

/// Parses a line of a recording backend.
fn backend_event(line: &str) -> Option<(u64, Fact)> {
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

/// Parses a line of mcpd or of an agent.
fn process_event(line: &str) -> Option<(u64, Fact)> {
    let row = field(line, "llm")?;
    let contains = |message: &str| line.contains(message);
    let fact = if contains("a task is dispatched") {
        // The scenarios' callers send the number of their call as the request id.
        Fact::Dispatched { call: field(line, "request")?.parse().ok()?, model: row }
    } else if contains("a model is published") {
        Fact::Published { model: row }
    } else if contains("a model is withdrawn") {
        Fact::Withdrawn { model: row }
    } else if contains("the wake recipe begins") {
        Fact::WakeStarted { model: row }
    } else if contains("the wake ends") {
        Fact::WakeEnded { model: row }
    } else {
        return None;
    };
    let at: Timestamp = line.split(' ').next()?.parse().ok()?;
    Some((u64::try_from(at.as_microsecond()).ok()?, fact))
}

/// Value of a field of a log line.
fn field(line: &str, name: &str) -> Option<String> {
    let (_, value) = line.split_once(&format!(" {name}="))?;
    Some(value.split(' ').next()?.trim_matches('"').to_owned())
}
