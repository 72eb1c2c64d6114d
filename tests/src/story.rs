//! The logs of a story on real processes, as one history that can be checked.

use parking_lot::Mutex;
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
        self.0.lock().push((now(), fact));
    }

    /// What the backend printed.
    pub fn take_backends_log(&self, log: &str) {
        let mut story = self.0.lock();
        for line in log.lines() {
            let mut words = line.split(' ');
            let Some(Ok(at)) = words.next().map(str::parse) else { continue };
            let (word, call) = (words.next(), words.next().and_then(|call| call.parse().ok()));
            let (Some(word), Some(call)) = (word, call) else { continue };
            let piece = words.next().and_then(|piece| piece.parse().ok());
            let fact = match (word, piece) {
                ("runs", None) => Fact::Runs(call),
                ("writes", Some(piece)) => Fact::Writes { call, piece },
                ("finishes", None) => Fact::Finishes(call),
                ("closes", None) => Fact::Closes(call),
                _ => continue,
            };
            story.push((at, fact));
        }
    }

    /// A backend was killed: what it had open is closed.
    pub fn backend_died(&self) {
        let at = now();
        let mut story = self.0.lock();
        let mut open = std::collections::BTreeMap::<u64, u64>::new();
        for (_, fact) in &*story {
            if let Fact::Runs(call) = fact {
                *open.entry(*call).or_default() += 1;
            } else if let Fact::Closes(call) = fact {
                *open.entry(*call).or_default() -= 1;
            }
        }
        for (call, count) in open {
            story.extend((0..count).map(|_| (at, Fact::Closes(call))));
        }
    }

    /// All of it, in order of time.
    #[must_use]
    pub fn history(&self) -> History {
        let mut story = self.0.lock().clone();
        story.sort_by_key(|(at, _)| *at);
        let mut history = History::default();
        for (at, fact) in story {
            history.saw(at / 1000, fact);
        }
        history
    }
}
