//! Journal of running wake recipes on disk: after a registrar was killed in the middle of a wake, the
//! next one must not run the same recipe again while the first run may still be loading the model.

use crate::clock::unix_ms;
use crate::home::Home;
use crate::limits::FILE;
use client::private_file;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The journal of one folder.
pub(crate) struct WakeJournal {
    file: PathBuf,
    /// A recipe of an earlier process may run again after this time.
    again_after: Duration,
    entries: Mutex<Entries>,
}

/// Names of providers, with the start of the recipe in unix milliseconds.
struct Entries {
    /// Recipes of this process, until they end.
    own: BTreeMap<String, u64>,
    /// Recipes of an earlier process, whose end cannot be seen.
    inherited: BTreeMap<String, u64>,
}

/// The entry of a running recipe; dropping it removes the entry.
pub(crate) struct Entry<'a> {
    journal: &'a WakeJournal,
    name: String,
}

impl WakeJournal {
    /// Opens the journal with the entries of an earlier process.
    pub(crate) fn open(home: &Home, again_after: Duration) -> Self {
        let file = home.wakes();
        let inherited = private_file::read(&file, FILE).ok();
        let inherited = inherited.and_then(|text| serde_json::from_slice(&text).ok());
        let inherited = inherited.unwrap_or_default();
        let entries = Mutex::new(Entries { own: BTreeMap::new(), inherited });
        Self { file, again_after, entries }
    }

    /// Records that a recipe begins. `None` if it still runs: in this process, whose provider may have
    /// left the file and come back, or probably in an earlier one.
    pub(crate) fn begin(&self, name: &str) -> Option<Entry<'_>> {
        let now = unix_ms();
        let mut entries = self.entries.lock();
        let again_after = u64::try_from(self.again_after.as_millis()).unwrap_or(u64::MAX);
        // Ignores timestamps in the future; the clock was set back.
        let is_recent = |at: &u64| *at <= now && now - at < again_after;
        if entries.inherited.get(name).is_some_and(is_recent) || entries.own.contains_key(name) {
            return None;
        }
        entries.inherited.remove(name);
        entries.own.insert(name.to_owned(), now);
        self.write(&entries);
        Some(Entry { journal: self, name: name.to_owned() })
    }

    /// Records that a backend is awake: a recipe of an earlier process has ended.
    pub(crate) fn record_awake(&self, name: &str) {
        let mut entries = self.entries.lock();
        if entries.inherited.remove(name).is_some() {
            self.write(&entries);
        }
    }

    /// Without fsync: a power cut ends the recipes, too.
    fn write(&self, entries: &Entries) {
        let all: BTreeMap<_, _> = entries.inherited.iter().chain(&entries.own).collect();
        let text = serde_json::to_vec(&all).unwrap_or_default();
        if let Err(error) = private_file::write_unsynced(&self.file, &text) {
            tracing::warn!(%error, "the running wakes cannot be written down");
        }
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let mut entries = self.journal.entries.lock();
        entries.own.remove(&self.name);
        self.journal.write(&entries);
    }
}

#[cfg(test)]
mod tests {
    use super::WakeJournal;
    use crate::home::Home;
    use std::time::Duration;

    #[test]
    fn a_recipe_of_a_killed_process_is_not_run_again_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let again = Duration::from_secs(30);
        let killed = WakeJournal::open(&home, again);
        let (a, b) = (killed.begin("a"), killed.begin("b"));
        assert!(a.is_some() && b.is_some());
        drop(b);
        let next = WakeJournal::open(&home, again);
        assert!(next.begin("a").is_none(), "its recipe may still run");
        assert!(next.begin("b").is_some());
        assert!(
            WakeJournal::open(&home, Duration::ZERO).begin("a").is_some(),
            "later it may run again"
        );
        next.record_awake("a");
        assert!(next.begin("a").is_some(), "it was seen to end");
        std::fs::write(home.wakes(), "{ \"a\": ").unwrap();
        assert!(WakeJournal::open(&home, again).begin("a").is_some(), "a broken file is ignored");
    }

    #[test]
    fn a_recipe_that_runs_is_not_started_a_second_time() {
        let folder = tempfile::tempdir().unwrap();
        let journal = WakeJournal::open(&Home::at(folder.path()).unwrap(), Duration::ZERO);
        let first = journal.begin("a");
        assert!(first.is_some() && journal.begin("a").is_none());
        drop(first);
        assert!(journal.begin("a").is_some());
    }
}
