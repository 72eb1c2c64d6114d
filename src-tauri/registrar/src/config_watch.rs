//! Follows `config.json`, whoever writes it and however: in place, by rename, through a link, or
//! with the folder itself made anew; and with it what the settings make of the time and the battery.
//!
//! Looks are what is relied on, and a hint only makes one come sooner. The file is read when it may be
//! another one than it was, and now and then whatever it looks like.

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

/// Between looks while something is going on.
const POLL: Duration = Duration::from_secs(1);
/// Between looks at a file that rests, whose folder is watched, and whose settings wait for no time.
const REST: Duration = Duration::from_secs(5);
/// Below that: network file systems may show an old state of a file for a while, until it is opened.
const READ: Duration = Duration::from_secs(30);
/// Editors write in several steps: look when they have been quiet for so long.
const QUIET: Duration = Duration::from_millis(150);

/// The file as it was last understood.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// The last good configuration.
    pub config: Arc<Config>,
    /// Providers of it that were left out.
    pub warnings: Vec<Problem>,
    /// Why the file as it is now is not in force.
    pub problem: Option<Problem>,
    /// Why nothing may be published now, whatever the switches say.
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
    let mut state = State { path, read: None, text: None, emptied: None, snapshot, power };
    state.look();
    state.hold();
    let (sender, receiver) = watch::channel(Arc::new(state.snapshot.clone()));
    (receiver, tokio::spawn(follow(state, sender, stop)))
}

/// Waits for a change of the file. Without a watcher there is none any more, and no end of the wait:
/// what is in force stays so.
pub(crate) async fn changed(seen: &mut watch::Receiver<Arc<Snapshot>>) {
    if seen.changed().await.is_err() {
        std::future::pending().await
    }
}

struct State {
    path: PathBuf,
    /// When it was read last, and the state that holds since then.
    read: Option<(Instant, FileStamp)>,
    /// What was read last; `None` before the first look and after a failed one.
    text: Option<String>,
    /// The file was empty, or gone, at the last look: since when.
    emptied: Option<Option<FileStamp>>,
    snapshot: Snapshot,
    power: Power,
}

impl State {
    /// Whether the file has to be read: nothing says that it is as it was.
    fn is_due(&self) -> bool {
        let same = |(at, stamp): (Instant, FileStamp)| {
            at.elapsed() < READ && FileStamp::of(&self.path) == Some(stamp)
        };
        self.emptied.is_some() || !self.read.is_some_and(same)
    }

    /// Reads the file; true when something is different.
    fn look(&mut self) -> bool {
        let stamp = FileStamp::of(&self.path);
        self.read = stamp.filter(FileStamp::is_settled).map(|stamp| (Instant::now(), stamp));
        let text = match file::read(&self.path) {
            Ok(text) => text,
            Err(error) => {
                (self.read, self.text) = (None, None);
                let message = format!("config.json cannot be read: {error}");
                return self.is_broken(Problem { message, line: None, column: None });
            }
        };
        let in_force = *self.snapshot.config != Config::default();
        // Whoever writes in place empties the file first: that is believed at a second look, if
        // nobody wrote in between.
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
            Err(problem) => self.is_broken(problem),
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

    /// Whether nothing is going on that watcher do not tell of.
    fn rests(&self) -> bool {
        let settings = &self.snapshot.config.settings;
        let timed = settings.paused_until.is_some() || settings.quiet_hours.is_some();
        self.read.is_some() && self.emptied.is_none() && !timed && !settings.only_on_ac
    }

    /// Looks at the time and the battery; true when something is different.
    fn hold(&mut self) -> bool {
        let settings = &self.snapshot.config.settings;
        let on_battery = settings.only_on_ac && self.power.on_battery();
        let hold = publish_gate::check(settings, &Zoned::now(), on_battery);
        std::mem::replace(&mut self.snapshot.hold, hold) != hold
    }

    fn is_broken(&mut self, problem: Problem) -> bool {
        let changed = self.snapshot.problem.as_ref() != Some(&problem);
        self.snapshot.problem = Some(problem);
        changed
    }
}

async fn follow(mut state: State, sender: watch::Sender<Arc<Snapshot>>, stop: CancellationToken) {
    let mut watcher = FolderWatcher::default();
    watch_folders(&mut watcher, &state.path);
    loop {
        let due = state.is_due();
        if due {
            watch_folders(&mut watcher, &state.path);
        }
        if (due && state.look()) | state.hold() {
            if let Some(problem) = &state.snapshot.problem {
                tracing::warn!(%problem, "config.json is not in force");
            }
            sender.send_replace(Arc::new(state.snapshot.clone()));
        }
        let at_most = if state.rests() && !watcher.is_unreliable() { REST } else { POLL };
        match stop.run_until_cancelled(watcher.changed_within(at_most)).await {
            None => return,
            Some(true) => tokio::time::sleep(QUIET).await,
            Some(false) => {}
        }
    }
}

/// At the file's own folder, and the one of what it links to.
fn watch_folders(watcher: &mut FolderWatcher, path: &Path) {
    let target = file::target_of(path);
    watcher.watch(&[path, &target].map(|path| path.parent().unwrap_or(path)));
}

#[cfg(test)]
mod tests {
    use super::{Snapshot, State, start};
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

    fn state(home: &Home) -> State {
        let (snapshot, power) = <_>::default();
        State { path: home.config(), read: None, text: None, emptied: None, snapshot, power }
    }

    #[tokio::test]
    async fn a_file_that_stays_as_it_is_is_not_opened_again_and_every_write_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        std::fs::write(home.config(), text("a")).unwrap();
        let mut state = state(&home);
        let settled = async {
            while state.is_due() {
                state.look();
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), settled).await.expect("it comes to rest");
        let file = std::fs::File::options().write(true).open(home.config()).unwrap();
        let before = file.metadata().unwrap().modified().unwrap();
        std::fs::write(home.config(), text("b")).unwrap();
        file.set_modified(before).unwrap();
        assert!(state.is_due(), "as long and as old, and another one");
        assert!(state.look() && has("b")(&state.snapshot));
    }

    #[test]
    fn a_file_that_is_empty_for_a_moment_withdraws_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        let write = |text: &str| std::fs::write(home.config(), text).unwrap();
        let mut state = state(&home);
        write(&text("a"));
        assert!(state.look() && has("a")(&state.snapshot));
        write("");
        assert!(!state.look() && has("a")(&state.snapshot), "somebody is writing");
        let emptied_again = SystemTime::now() + Duration::from_secs(1);
        let file = std::fs::File::options().write(true).open(home.config()).unwrap();
        file.set_modified(emptied_again).unwrap();
        assert!(!state.look() && has("a")(&state.snapshot), "and writes again");
        write("{ broken");
        assert!(state.look() && has("a")(&state.snapshot), "the last good one stays");
        std::fs::write(home.config(), b"\xff").unwrap();
        assert!(state.look() && has("a")(&state.snapshot), "so it does when it cannot be read");
        write("");
        assert!(!state.look() && has("a")(&state.snapshot), "and when that is written anew");
        write(&text("b"));
        assert!(state.look() && has("b")(&state.snapshot));
        std::fs::remove_file(home.config()).unwrap();
        assert!(!state.look() && has("b")(&state.snapshot), "somebody is renaming");
        assert!(state.look() && state.snapshot.config.providers.is_empty(), "it is gone");
    }

    #[tokio::test]
    async fn every_way_to_write_the_file_is_seen_within_two_seconds() {
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
    async fn a_write_behind_a_symbolic_link_is_seen() {
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
    async fn a_half_written_file_leaves_the_last_good_one_in_force() {
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
