//! A scenario for fault injection: a server, a publisher behind a fault proxy, a backend that a recipe
//! wakes, and callers, each of which can be killed, stopped and restarted. The logs of all of them become
//! one history, which the checker of `trust` reads.

use crate::caller::{Call, make_call};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use testkit::agent::{Agent, Home, provider};
use testkit::event_log::{EventLog, unix_micros};
use testkit::fault_proxy::FaultProxy;
use testkit::mcpd::Mcpd;
use testkit::process::{Process, has_exited, program};
use testkit::setup::with_keys;
use tokio::task::JoinHandle;
use trust::history::{Bounds, Fact, History, check};

/// Bounds of the checker, in milliseconds at [`SCALE`]. A stopped publisher takes longest.
pub(crate) const BOUNDS: Bounds =
    Bounds { closed_within: 30_000, ended_within: 60_000, retries: 2, has_dispatches: false };
/// Factor of all waits.
const SCALE: f64 = 0.1;
/// Time for which the recipe of a killed publisher counts as running: 30 s at [`SCALE`], in
/// microseconds.
const RECIPE_COUNTS: u64 = 3_000_000;
/// Pause between two checks whether a recipe has exited.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The process that a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Mcpd,
    Agent,
    Backend,
}

/// Kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// SIGKILL, and a restart later.
    Kill,
    /// SIGSTOP, and SIGCONT later.
    Stop,
}

/// Every target with every kind of fault.
pub(crate) const PROCESS_FAULTS: [(Target, FaultKind); 6] = [
    (Target::Mcpd, FaultKind::Kill),
    (Target::Mcpd, FaultKind::Stop),
    (Target::Agent, FaultKind::Kill),
    (Target::Agent, FaultKind::Stop),
    (Target::Backend, FaultKind::Kill),
    (Target::Backend, FaultKind::Stop),
];

pub(crate) struct Scenario {
    pub(crate) mcpd: Mcpd,
    pub(crate) agent: Agent,
    pub(crate) backend: Process,
    pub(crate) proxy: FaultProxy,
    pub(crate) event_log: EventLog,
    pub(crate) folder: TempDir,
    port: u16,
    publisher: String,
    caller: String,
    /// Tasks that record the end of wakes whose publisher was killed.
    orphaned_wakes: Vec<JoinHandle<()>>,
}

impl Scenario {
    /// Starts everything without faults. The recipe takes this time.
    pub(crate) async fn start(recipe_time: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = testkit::free_port();
        let command = Command::new(program("recording_backend"));
        let backend = recording_backend(command, port, folder.path());
        for file in ["awake", "open"] {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        let mcpd = Mcpd::logging("mcpd=debug", SCALE).await;
        let proxy = FaultProxy::in_front_of(&mcpd.url).await;
        let home = Home::with_config(&proxy.url, &[entry(port, folder.path(), recipe_time)]);
        let (publisher, caller) = (mcpd.token("mia", "publish"), mcpd.token("tom", "infer"));
        let agent = Agent::scaled(&home, &publisher, SCALE);
        mcpd.until_active(&caller, "qwen").await;
        let (event_log, orphaned_wakes) = (EventLog::default(), Vec::new());
        Self {
            mcpd,
            agent,
            backend,
            proxy,
            event_log,
            folder,
            port,
            publisher,
            caller,
            orphaned_wakes,
        }
    }

    /// Makes a call; true if its response was complete.
    pub(crate) fn call(
        &self,
        number: u64,
        call: &Call,
    ) -> impl Future<Output = bool> + Send + use<> {
        let request = self.mcpd.post("/v1/chat/completions", &self.caller);
        make_call(number, call, request, self.event_log.clone())
    }

    /// Kills or stops a process.
    pub(crate) fn inject(&mut self, (target, kind): (Target, FaultKind)) {
        match (target, kind) {
            (_, FaultKind::Stop) => self.process(target).signal("STOP"),
            (Target::Mcpd, FaultKind::Kill) => self.mcpd.process.kill(),
            (Target::Agent, FaultKind::Kill) => {
                self.agent.process.kill();
                self.event_log.add_process_log(&self.agent.process.stderr());
                self.watch_orphaned_wakes();
            }
            (Target::Backend, FaultKind::Kill) => {
                self.backend.kill();
                self.collect_backend_log();
                self.event_log.record_backend_killed();
            }
        }
    }

    /// Restarts or continues a process after [`Self::inject`].
    pub(crate) async fn recover(&mut self, (target, kind): (Target, FaultKind)) {
        match (target, kind) {
            (_, FaultKind::Stop) => self.process(target).signal("CONT"),
            (Target::Mcpd, FaultKind::Kill) => self.mcpd = self.mcpd.start_again().await,
            (Target::Agent, FaultKind::Kill) => {
                self.agent = Agent::scaled(&self.agent.home.clone(), &self.publisher, SCALE);
            }
            (Target::Backend, FaultKind::Kill) => {
                let command = Command::new(program("recording_backend"));
                self.backend = recording_backend(command, self.port, self.folder.path());
            }
        }
    }

    fn process(&self, target: Target) -> &Process {
        match target {
            Target::Mcpd => &self.mcpd.process,
            Target::Agent => &self.agent.process,
            Target::Backend => &self.backend,
        }
    }

    /// Records the end of wakes whose publisher was just killed. The recipe outlives its publisher: the
    /// wake ends when the recipe exits, or when it does not count as running any more.
    fn watch_orphaned_wakes(&mut self) {
        let pid = std::fs::read_to_string(self.file("recipe")).unwrap_or_default();
        for (row, began) in self.event_log.open_wakes() {
            let (event_log, pid) = (self.event_log.clone(), pid.clone());
            self.orphaned_wakes.push(tokio::spawn(async move {
                // Without an id the recipe was not even started.
                while !pid.trim().is_empty() && !has_exited(&pid) {
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
                let at = unix_micros().min(began + RECIPE_COUNTS);
                event_log.record_at(at, Fact::WakeEnded { model: row });
            }));
        }
    }

    /// Sets `publish` of the model in the configuration.
    pub(crate) fn set_published(&self, publish: bool) {
        let mut config: Value = serde_json::from_str(&self.agent.home.read("config.json")).unwrap();
        config["llm"]["providers"][0]["publish"] = publish.into();
        self.agent.home.write(&config.to_string());
    }

    /// Puts the backend to sleep.
    pub(crate) fn sleep(&self) {
        // The backend may be asleep already.
        let _ = std::fs::remove_file(self.file("awake"));
    }

    /// Waits until the catalogue shows that the backend sleeps.
    pub(crate) async fn until_asleep(&self) {
        let is_asleep = |entry: &Value| entry["status"] == "hibernating";
        self.mcpd.until_entry(&self.caller, "qwen", is_asleep).await;
    }

    /// Holds back the end of recipes and the begin of responses, until [`Self::open_gate`].
    pub(crate) fn close_gate(&self) {
        std::fs::remove_file(self.file("open")).unwrap();
    }

    /// Ends [`Self::close_gate`].
    pub(crate) fn open_gate(&self) {
        std::fs::write(self.file("open"), "").unwrap();
    }

    /// Path of a file that controls the backend, or of the recipe's process id.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Moves the backend's log so far into the event log.
    fn collect_backend_log(&self) {
        self.event_log.add_backend_log(&self.backend.stdout());
        std::fs::write(self.file("recording_backend.out"), "").unwrap();
    }

    /// Wakes the backend by hand and waits until the model is active.
    pub(crate) async fn until_recovered(&self) {
        std::fs::write(self.file("awake"), "").unwrap();
        self.mcpd.until_active(&self.caller, "qwen").await;
    }

    /// Waits until everything has recovered and nothing runs or waits; then checks the history. Returns
    /// the history and the violated invariants.
    pub(crate) async fn finish(self) -> (History, Vec<String>) {
        self.until_recovered().await;
        let is_idle = |entry: &Value| entry["inFlight"] == 0 && entry["queued"] == 0;
        self.mcpd.until_entry(&self.caller, "qwen", is_idle).await;
        self.event_log.record(Fact::Remaining(0));
        self.collect_backend_log();
        for process in [&self.mcpd.process, &self.agent.process] {
            self.event_log.add_process_log(&process.stderr());
        }
        for wake in self.orphaned_wakes {
            wake.await.unwrap();
        }
        let history = self.event_log.history();
        let violations = check(&history, &BOUNDS);
        (history, violations)
    }
}

/// Starts the recording backend by this command.
pub(crate) fn recording_backend(mut command: Command, port: u16, folder: &Path) -> Process {
    Process::start("recording_backend", command.arg(port.to_string()).arg(folder), folder)
}

/// Configuration entry with a recipe that takes this time, and longer while the gate is closed. The
/// recipe may outlive its publisher, but not the scenario's folder.
fn entry(port: u16, folder: &Path, recipe_time: Duration) -> Value {
    let script = format!(
        "cd {0}; echo $$ > recipe; sleep {1}; until [ -e open ] || [ ! -d {0} ]; do sleep 0.02; \
         done; touch awake",
        folder.display(),
        recipe_time.as_secs_f64()
    );
    let wake = json!({"type": "command", "command": "sh", "args": ["-c", script],
                      "maxWaitSeconds": 60});
    let entry = provider("qwen", &format!("http://127.0.0.1:{port}"));
    with_keys(entry, &json!({"maxConcurrency": 4, "wake": wake}))
}
