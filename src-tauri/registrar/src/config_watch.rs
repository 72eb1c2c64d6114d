//! Follows `config.json`, however it is written: in place, by rename, through a link, or with its
//! folder created anew. Also follows the time and the battery, as far as the settings depend on them.
//!
//! Polling is what is relied on; a file event only makes a check come sooner. The file is read when
//! its stamp has changed, and now and then in any case.

use crate::config::{self, Config, Problem, file};
use crate::file_stamp::FileStamp;
use crate::fs_events::FolderWatcher;
use crate::home::Home;
use crate::power::Power;
use crate::publish_gate::{self, Hold};
use jiff::Zoned;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Time between checks while something is pending.
const POLL_ACTIVE: Duration = Duration::from_secs(1);
/// Time between checks otherwise.
const POLL_IDLE: Duration = Duration::from_secs(5);
/// The file is read after this long in any case: network file systems may show an old stamp until a
/// file is opened.
const READ_EVERY: Duration = Duration::from_secs(30);
/// Delay after a file event: editors write in several steps.
const SETTLE: Duration = Duration::from_millis(150);

/// The configuration in force.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// The last good configuration.
    pub config: Arc<Config>,
    /// One warning for each provider that was left out.
    pub warnings: Vec<Problem>,
    /// Why the current file is not in force.
    pub problem: Option<Problem>,
    /// Why nothing may be published now, regardless of the switches.
    pub hold: Option<Hold>,
}

/// Reads the file now and follows it until `stop`.
#[must_use]
pub fn start(
    home: &Home,
    stop: CancellationToken,
) -> (watch::Receiver<Arc<Snapshot>>, JoinHandle<()>) {
    let path = home.config();
    let (snapshot, power) = <_>::default();
    let mut file = ConfigFile { path, read: None, text: None, emptied: None, snapshot, power };
    file.read_file();
    file.update_hold();
    let (sender, receiver) = watch::channel(Arc::new(file.snapshot.clone()));
    (receiver, tokio::spawn(follow(file, sender, stop)))
}

/// Waits for a new snapshot; for ever if the file is not followed any more.
pub(crate) async fn changed(snapshots: &mut watch::Receiver<Arc<Snapshot>>) {
    if snapshots.changed().await.is_err() {
        std::future::pending().await
    }
}

struct ConfigFile {
    path: PathBuf,
    /// Time of the last read and the stamp of the file then, if it was settled.
    read: Option<(Instant, FileStamp)>,
    /// Text of the last read; `None` before the first and after a failed one.
    text: Option<String>,
    /// Set if the file was empty or missing at the last read: its stamp then.
    emptied: Option<Option<FileStamp>>,
    snapshot: Snapshot,
    power: Power,
}

impl ConfigFile {
    /// True if the file must be read, because it may have changed.
    fn is_due(&self) -> bool {
        let unchanged = |(at, stamp): (Instant, FileStamp)| {
            at.elapsed() < READ_EVERY && FileStamp::of(&self.path) == Some(stamp)
        };
        self.emptied.is_some() || !self.read.is_some_and(unchanged)
    }

    /// Reads the file; true if the snapshot changed.
    fn read_file(&mut self) -> bool {
        let stamp = FileStamp::of(&self.path);
        self.read = stamp.filter(FileStamp::is_settled).map(|stamp| (Instant::now(), stamp));
        let text = match file::read(&self.path) {
            Ok(text) => text,
            Err(error) => {
                (self.read, self.text) = (None, None);
                let message = format!("config.json cannot be read: {error}");
                return self.set_problem(Problem { message, line: None, column: None });
            }
        };
        let in_force = *self.snapshot.config != Config::default();
        // A write in place empties the file first: an empty file counts at the second read, if it was
        // not written in between.
        if text.trim().is_empty() && in_force && self.emptied.replace(stamp) != Some(stamp) {
            return false;
        }
        self.emptied = None;
        if self.text.as_ref() == Some(&text) {
            return false;
        }
        let parsed = config::parse(&text);
        self.text = Some(text);
        match parsed {
            Err(problem) => self.set_problem(problem),
            Ok(parsed) => {
                let snapshot = Snapshot {
                    config: Arc::new(parsed.config),
                    warnings: parsed.warnings,
                    problem: None,
                    hold: self.snapshot.hold,
                };
                let changed = snapshot != self.snapshot;
                self.snapshot = snapshot;
                changed
            }
        }
    }

    /// True if polling can slow down: nothing time-based is pending and the file is settled.
    fn is_idle(&self) -> bool {
        let settings = &self.snapshot.config.settings;
        let timed = settings.paused_until.is_some() || settings.quiet_hours.is_some();
        self.read.is_some() && self.emptied.is_none() && !timed && !settings.only_on_ac
    }

    /// Checks time and power source; true if the snapshot changed.
    fn update_hold(&mut self) -> bool {
        let settings = &self.snapshot.config.settings;
        let on_battery = settings.only_on_ac && self.power.on_battery();
        let hold = publish_gate::check(settings, &Zoned::now(), on_battery);
        std::mem::replace(&mut self.snapshot.hold, hold) != hold
    }

    fn set_problem(&mut self, problem: Problem) -> bool {
        let changed = self.snapshot.problem.as_ref() != Some(&problem);
        self.snapshot.problem = Some(problem);
        changed
    }
}

async fn follow(
    mut file: ConfigFile,
    sender: watch::Sender<Arc<Snapshot>>,
    stop: CancellationToken,
) {
    let mut watcher = FolderWatcher::default();
    watch_folders(&mut watcher, &file.path);
    loop {
        let due = file.is_due();
        if due {
            watch_folders(&mut watcher, &file.path);
        }
        if (due && file.read_file()) | file.update_hold() {
            if let Some(problem) = &file.snapshot.problem {
                tracing::warn!(%problem, "config.json is not in force");
            }
            sender.send_replace(Arc::new(file.snapshot.clone()));
        }
        let idle = file.is_idle() && !watcher.is_unreliable();
        let max = if idle { POLL_IDLE } else { POLL_ACTIVE };
        match stop.run_until_cancelled(watcher.changed_within(max)).await {
            None => return,
            Some(true) => tokio::time::sleep(SETTLE).await,
            Some(false) => {}
        }
    }
}

/// Watches the file's own folder and that of the file behind a link.
fn watch_folders(watcher: &mut FolderWatcher, path: &Path) {
    let target = file::target_of(path);
    watcher.watch(&[path, &target].map(|path| path.parent().unwrap_or(path)));
}

#[cfg(test)]
mod tests {
    use super::{ConfigFile, Snapshot, start};
    use crate::home::Home;
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};
    use tokio::sync::watch::Receiver;
    use tokio_util::sync::CancellationToken;

    async fn until(seen: &mut Receiver<Arc<Snapshot>>, good: impl Fn(&Snapshot) -> bool) {
        let wait = seen.wait_for(|snapshot| good(snapshot));
        tokio::time::timeout(Duration::from_secs(2), wait).await.expect("within 2 s").unwrap();
    }

    fn text(name: &str) -> String {
        format!("{{\"llm\": {{\"providers\": [{{\"name\": \"{name}\", \"type\": \"vllm\"}}]}}}}")
    }

    fn has(name: &'static str) -> impl Fn(&Snapshot) -> bool {
        move |snapshot| snapshot.config.provider(name).is_some()
    }

    fn state(home: &Home) -> ConfigFile {
        let (snapshot, power) = <_>::default();
        ConfigFile { path: home.config(), read: None, text: None, emptied: None, snapshot, power }
    }

    #[tokio::test]
    async fn an_unchanged_file_is_not_opened_again_and_every_write_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        std::fs::write(home.config(), text("a")).unwrap();
        let mut state = state(&home);
        let settled = async {
            while state.is_due() {
                state.read_file();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), settled).await.expect("the file settles");
        let file = std::fs::File::options().write(true).open(home.config()).unwrap();
        let before = file.metadata().unwrap().modified().unwrap();
        std::fs::write(home.config(), text("b")).unwrap();
        file.set_modified(before).unwrap();
        assert!(state.is_due(), "same length and modification time, other content");
        assert!(state.read_file() && has("b")(&state.snapshot));
    }

    #[test]
    fn an_empty_file_withdraws_nothing_at_first() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        let write = |text: &str| std::fs::write(home.config(), text).unwrap();
        let mut state = state(&home);
        write(&text("a"));
        assert!(state.read_file() && has("a")(&state.snapshot));
        write("");
        assert!(!state.read_file() && has("a")(&state.snapshot), "a write in place has begun");
        let emptied_again = SystemTime::now() + Duration::from_secs(1);
        let file = std::fs::File::options().write(true).open(home.config()).unwrap();
        file.set_modified(emptied_again).unwrap();
        assert!(!state.read_file() && has("a")(&state.snapshot), "and begins again");
        write("{ broken");
        assert!(state.read_file() && has("a")(&state.snapshot), "a broken file changes nothing");
        std::fs::write(home.config(), b"\xff").unwrap();
        assert!(state.read_file() && has("a")(&state.snapshot), "nor does one that is not UTF-8");
        write("");
        assert!(!state.read_file() && has("a")(&state.snapshot), "nor the write that follows");
        write(&text("b"));
        assert!(state.read_file() && has("b")(&state.snapshot));
        std::fs::remove_file(home.config()).unwrap();
        assert!(!state.read_file() && has("b")(&state.snapshot), "a rename may follow");
        assert!(
            state.read_file() && state.snapshot.config.providers.is_empty(),
            "the file is gone"
        );
    }

    #[tokio::test]
    async fn every_way_to_write_the_file_is_noticed_within_two_seconds() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("h")).unwrap();
        let stop = CancellationToken::new();
        let (mut seen, task) = start(&home, stop.clone());
        assert!(seen.borrow().config.providers.is_empty(), "no file is an empty configuration");

        std::fs::write(home.config(), text("in-place")).unwrap();
        until(&mut seen, has("in-place")).await;
        for name in ["rename-1", "rename-2"] {
            let new = home.dir().join("new");
            std::fs::write(&new, text(name)).unwrap();
            std::fs::rename(&new, home.config()).unwrap();
            until(&mut seen, has(name)).await;
        }
        std::fs::remove_dir_all(home.dir()).unwrap();
        until(&mut seen, |s| s.config.providers.is_empty()).await;
        std::fs::create_dir(home.dir()).unwrap();
        std::fs::write(home.config(), text("again")).unwrap();
        until(&mut seen, has("again")).await;
        stop.cancel();
        task.await.unwrap();
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_write_behind_a_symbolic_link_is_noticed() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let home = Home::at(dir.path()).unwrap();
        let real = other.path().join("c.json");
        std::fs::write(&real, text("one")).unwrap();
        std::os::unix::fs::symlink(&real, home.config()).unwrap();
        let (mut seen, _task) = start(&home, CancellationToken::new());
        std::fs::write(&real, text("two")).unwrap();
        until(&mut seen, has("two")).await;
    }

    #[tokio::test]
    async fn after_an_incomplete_write_the_last_good_configuration_stays_in_force() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        std::fs::write(home.config(), text("good")).unwrap();
        let (mut seen, _task) = start(&home, CancellationToken::new());
        std::fs::write(home.config(), &text("bad")[..20]).unwrap();
        until(&mut seen, |s| s.problem.is_some()).await;
        assert!(seen.borrow().config.provider("good").is_some());
        assert_eq!(seen.borrow().problem.as_ref().unwrap().line, Some(1));
        std::fs::write(home.config(), text("mended")).unwrap();
        until(&mut seen, |s| s.problem.is_none() && s.config.provider("mended").is_some()).await;
    }
}
