//! Which recipes are at work, on disk: a registrar that was killed in the middle of a wake must not
//! start the same recipe again while the first run may still be loading the model.

use crate::clock::unix_ms;
use crate::home::{Home, write_private};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The wakes of one folder.
pub(crate) struct UnderWay {
    file: PathBuf,
    again: Duration,
    /// When each began, unix ms.
    began: Mutex<BTreeMap<String, u64>>,
}

impl UnderWay {
    /// With what an earlier process has left. Its recipes may run again after `again`.
    pub(crate) fn of(home: &Home, again: Duration) -> Self {
        let file = home.wakes();
        let left = std::fs::read(&file).ok();
        let began = left.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { file, again, began: Mutex::new(began) }
    }

    /// Notes that the recipe begins; false when an earlier process began it just now.
    pub(crate) fn begin(&self, name: &str) -> bool {
        let now = unix_ms();
        let mut began = self.began.lock();
        let again = u64::try_from(self.again.as_millis()).unwrap_or(u64::MAX);
        // A time to come is none of ours: the clock was set back.
        if began.get(name).is_some_and(|at| *at <= now && now - at < again) {
            return false;
        }
        began.insert(name.to_owned(), now);
        self.write(&began);
        true
    }

    /// The wake has ended, whatever way.
    pub(crate) fn end(&self, name: &str) {
        let mut began = self.began.lock();
        began.remove(name);
        self.write(&began);
    }

    fn write(&self, began: &BTreeMap<String, u64>) {
        let text = serde_json::to_vec(began).unwrap_or_default();
        if let Err(error) = write_private(&self.file, &text) {
            tracing::warn!(%error, "the wakes under way cannot be written down");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::UnderWay;
    use crate::home::Home;
    use std::time::Duration;

    #[test]
    fn what_a_killed_process_began_waits_and_what_ended_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let again = Duration::from_secs(30);
        let killed = UnderWay::of(&home, again);
        assert!(killed.begin("a") && killed.begin("b"));
        killed.end("b");
        let next = UnderWay::of(&home, again);
        assert!(!next.begin("a"), "its recipe may still be at work");
        assert!(next.begin("b"));
        assert!(UnderWay::of(&home, Duration::ZERO).begin("a"), "later it may run again");
        std::fs::write(home.wakes(), "{ \"a\": ").unwrap();
        assert!(UnderWay::of(&home, again).begin("a"), "a broken file forbids nothing");
    }
}
