//! Which recipes are at work, on disk: a registrar that was killed in the middle of a wake must not
//! start the same recipe again while the first run may still be loading the model.

use crate::clock::unix_ms;
use crate::home::Home;
use crate::limits::FILE;
use client::private_file;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The wakes of one folder.
pub(crate) struct WakeJournal {
    file: PathBuf,
    again: Duration,
    marks: Mutex<Marks>,
}

/// When each began, unix ms.
struct Marks {
    /// Here: at work until it ends.
    own: BTreeMap<String, u64>,
    /// By an earlier process, which cannot tell any more.
    left: BTreeMap<String, u64>,
}

/// A recipe is at work; dropped when the wake has ended, whatever way.
pub(crate) struct Mark<'a> {
    journal: &'a WakeJournal,
    name: String,
}

impl WakeJournal {
    /// With what an earlier process has left. Its recipes may run again after `again`.
    pub(crate) fn of(home: &Home, again: Duration) -> Self {
        let file = home.wakes();
        let left = private_file::read(&file, FILE).ok();
        let left = left.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { file, again, marks: Mutex::new(Marks { own: BTreeMap::new(), left }) }
    }

    /// Notes that the recipe begins; `None` while it is at work, by this process (its entry may have
    /// left the file and come back) or by an earlier one that began it just now.
    pub(crate) fn begin(&self, name: &str) -> Option<Mark<'_>> {
        let now = unix_ms();
        let mut marks = self.marks.lock();
        let again = u64::try_from(self.again.as_millis()).unwrap_or(u64::MAX);
        // A time to come is none of ours: the clock was set back.
        let left = marks.left.get(name).is_some_and(|at| *at <= now && now - at < again);
        if left || marks.own.contains_key(name) {
            return None;
        }
        marks.left.remove(name);
        marks.own.insert(name.to_owned(), now);
        self.write(&marks);
        Some(Mark { journal: self, name: name.to_owned() })
    }

    /// The backend is awake: what an earlier process began is over.
    pub(crate) fn awake(&self, name: &str) {
        let mut marks = self.marks.lock();
        if marks.left.remove(name).is_some() {
            self.write(&marks);
        }
    }

    fn write(&self, marks: &Marks) {
        let all: BTreeMap<_, _> = marks.left.iter().chain(&marks.own).collect();
        let text = serde_json::to_vec(&all).unwrap_or_default();
        // It tells of this process to the next one; both are over after a power cut.
        if let Err(error) = private_file::write_unsynced(&self.file, &text) {
            tracing::warn!(%error, "the wakes under way cannot be written down");
        }
    }
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        let mut marks = self.journal.marks.lock();
        marks.own.remove(&self.name);
        self.journal.write(&marks);
    }
}

#[cfg(test)]
mod tests {
    use super::WakeJournal;
    use crate::home::Home;
    use std::time::Duration;

    #[test]
    fn what_a_killed_process_began_waits_and_what_ended_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let again = Duration::from_secs(30);
        let killed = WakeJournal::of(&home, again);
        let (a, b) = (killed.begin("a"), killed.begin("b"));
        assert!(a.is_some() && b.is_some());
        drop(b);
        let next = WakeJournal::of(&home, again);
        assert!(next.begin("a").is_none(), "its recipe may still be at work");
        assert!(next.begin("b").is_some());
        assert!(
            WakeJournal::of(&home, Duration::ZERO).begin("a").is_some(),
            "later it may run again"
        );
        next.awake("a");
        assert!(next.begin("a").is_some(), "it was seen to end");
        std::fs::write(home.wakes(), "{ \"a\": ").unwrap();
        assert!(
            WakeJournal::of(&home, again).begin("a").is_some(),
            "a broken file forbids nothing"
        );
    }

    #[test]
    fn what_this_process_began_is_not_begun_again_however_long_it_takes() {
        let folder = tempfile::tempdir().unwrap();
        let journal = WakeJournal::of(&Home::at(folder.path()).unwrap(), Duration::ZERO);
        let first = journal.begin("a");
        assert!(first.is_some() && journal.begin("a").is_none());
        drop(first);
        assert!(journal.begin("a").is_some());
    }
}
