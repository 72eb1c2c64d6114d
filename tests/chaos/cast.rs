//! Who takes part in a story: a server, a publisher behind a proxy, a backend that a recipe wakes,
//! and callers. What all of them logged becomes one history, which the checker reads.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use testkit::agent::{Agent, Home, provider};
use testkit::fault::Proxy;
use testkit::mcpd::Mcpd;
use testkit::process::{Process, is_gone, program};
use testkit::story::Story;
use testkit::world::and;
use tokio::task::JoinHandle;
use trust::history::{Bounds, Fact, History, check};

/// In a tenth of the real time: what a stopped publisher costs is the longest of all.
pub(crate) const BOUNDS: Bounds =
    Bounds { closed_within: 30_000, ended_within: 60_000, retries: 2 };
/// Of all waits.
const SCALE: f64 = 0.1;
/// A killed publisher's recipe counts as being at work for so long: 30 s, in this scale. In
/// microseconds.
const RECIPE_COUNTS: u64 = 3_000_000;
/// Between looks whether it is gone.
const LOOK: Duration = Duration::from_millis(5);

/// Who is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Victim {
    Mcpd,
    Agent,
    Backend,
}

/// How.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// SIGKILL, and started again later.
    Kill,
    /// SIGSTOP, and SIGCONT later.
    Stop,
}

/// Every victim, in every way.
pub(crate) const BLOWS: [(Victim, Blow); 6] = [
    (Victim::Mcpd, Blow::Kill),
    (Victim::Mcpd, Blow::Stop),
    (Victim::Agent, Blow::Kill),
    (Victim::Agent, Blow::Stop),
    (Victim::Backend, Blow::Kill),
    (Victim::Backend, Blow::Stop),
];

/// What a caller asks for, and how patient it is.
pub(crate) struct Ask {
    pub(crate) begin: Duration,
    pub(crate) pieces: u64,
    /// Before each piece, in milliseconds.
    pub(crate) pause: u64,
    pub(crate) patience: Duration,
}

pub(crate) struct Cast {
    pub(crate) mcpd: Mcpd,
    pub(crate) agent: Agent,
    pub(crate) backend: Process,
    pub(crate) proxy: Proxy,
    pub(crate) story: Story,
    pub(crate) folder: TempDir,
    port: u16,
    publisher: String,
    caller: String,
    /// Wakes whose publisher was killed.
    orphans: Vec<JoinHandle<()>>,
}

impl Cast {
    /// All well, with a recipe that takes so long.
    pub(crate) async fn new(recipe: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = testkit::free_port();
        let backend = teller(Command::new(program("teller")), port, folder.path());
        for file in ["awake", "open"] {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        let mcpd = Mcpd::telling(SCALE).await;
        let proxy = Proxy::before(&mcpd.url).await;
        let home = Home::with(&proxy.url, &[entry(port, folder.path(), recipe)]);
        let (publisher, caller) = (mcpd.token("mia", "publish"), mcpd.token("tom", "infer"));
        let agent = Agent::scaled(&home, &publisher, SCALE);
        mcpd.active(&caller, "qwen").await;
        let (story, orphans) = (Story::default(), Vec::new());
        Self { mcpd, agent, backend, proxy, story, folder, port, publisher, caller, orphans }
    }

    /// One caller; whether it gets a complete answer.
    pub(crate) fn call(&self, call: u64, ask: &Ask) -> impl Future<Output = bool> + Send + use<> {
        let request = self.mcpd.post("/v1/chat/completions", &self.caller);
        tell(call, ask, request, self.story.clone())
    }

    /// The blow falls.
    pub(crate) fn hit(&mut self, (victim, blow): (Victim, Blow)) {
        match (victim, blow) {
            (_, Blow::Stop) => self.process(victim).signal("STOP"),
            (Victim::Mcpd, Blow::Kill) => self.mcpd.process.kill(),
            (Victim::Agent, Blow::Kill) => {
                self.agent.process.kill();
                self.story.take_log(&self.agent.process.err());
                self.leave_wakes();
            }
            (Victim::Backend, Blow::Kill) => {
                self.backend.kill();
                self.take_backends_log();
                self.story.backend_died();
            }
        }
    }

    /// It is over.
    pub(crate) async fn mend(&mut self, (victim, blow): (Victim, Blow)) {
        match (victim, blow) {
            (_, Blow::Stop) => self.process(victim).signal("CONT"),
            (Victim::Mcpd, Blow::Kill) => self.mcpd = self.mcpd.again().await,
            (Victim::Agent, Blow::Kill) => {
                self.agent = Agent::scaled(&self.agent.home.clone(), &self.publisher, SCALE);
            }
            (Victim::Backend, Blow::Kill) => {
                let command = Command::new(program("teller"));
                self.backend = teller(command, self.port, self.folder.path());
            }
        }
    }

    fn process(&self, victim: Victim) -> &Process {
        match victim {
            Victim::Mcpd => &self.mcpd.process,
            Victim::Agent => &self.agent.process,
            Victim::Backend => &self.backend,
        }
    }

    /// A recipe outlives its publisher: its wake has ended when it is gone, or when it does not
    /// count any more.
    fn leave_wakes(&mut self) {
        let pid = std::fs::read_to_string(self.file("recipe")).unwrap_or_default();
        for (row, began) in self.story.wakes() {
            let (story, pid) = (self.story.clone(), pid.clone());
            self.orphans.push(tokio::spawn(async move {
                // Without an id it was not even started.
                while !pid.trim().is_empty() && !is_gone(&pid) {
                    tokio::time::sleep(LOOK).await;
                }
                let at = testkit::story::now().min(began + RECIPE_COUNTS);
                story.saw_at(at, Fact::WakeEnded { model: row });
            }));
        }
    }

    /// The owner publishes the model or does not, as an editor writes it.
    pub(crate) fn publish(&self, publish: bool) {
        let mut config: Value = serde_json::from_str(&self.agent.home.read("config.json")).unwrap();
        config["llm"]["providers"][0]["publish"] = publish.into();
        self.agent.home.write(&config.to_string());
    }

    /// The backend falls asleep.
    pub(crate) fn sleep(&self) {
        // It may have fallen asleep before.
        let _ = std::fs::remove_file(self.file("awake"));
    }

    /// Waits until the server knows that it sleeps.
    pub(crate) async fn until_asleep(&self) {
        self.mcpd.row(&self.caller, "qwen", |row| row["status"] == "hibernating").await;
    }

    /// Recipes do not end and answers do not begin, until the gate is opened.
    pub(crate) fn shut(&self) {
        std::fs::remove_file(self.file("open")).unwrap();
    }

    /// See [`Self::shut`].
    pub(crate) fn open(&self) {
        std::fs::write(self.file("open"), "").unwrap();
    }

    /// A file that says how the backend is, or which process its recipe is.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the backend has said since the last time.
    fn take_backends_log(&self) {
        self.story.take_backends_log(&self.backend.out());
        std::fs::write(self.file("teller.out"), "").unwrap();
    }

    /// Waits until the model can be called; a backend that still sleeps is woken by hand.
    pub(crate) async fn well(&self) {
        std::fs::write(self.file("awake"), "").unwrap();
        self.mcpd.active(&self.caller, "qwen").await;
    }

    /// Everybody is well again: all must come to rest, and nothing may be left.
    pub(crate) async fn end(self) -> (History, Vec<String>) {
        self.well().await;
        let rest = |row: &Value| row["inFlight"] == 0 && row["queued"] == 0;
        self.mcpd.row(&self.caller, "qwen", rest).await;
        self.story.saw(Fact::Remaining(0));
        self.take_backends_log();
        for process in [&self.mcpd.process, &self.agent.process] {
            self.story.take_log(&process.err());
        }
        for orphan in self.orphans {
            orphan.await.unwrap();
        }
        let history = self.story.history();
        let breaches = check(&history, &BOUNDS);
        (history, breaches)
    }
}

/// The backend of a story, started by this command.
pub(crate) fn teller(mut command: Command, port: u16, folder: &Path) -> Process {
    Process::start("teller", command.arg(port.to_string()).arg(folder), folder)
}

/// Its entry, with a recipe that takes so long, and longer while the gate is shut. It may outlive its
/// publisher, but not the story.
fn entry(port: u16, folder: &Path, takes: Duration) -> Value {
    let script = format!(
        "cd {0}; echo $$ > recipe; sleep {1}; until [ -e open ] || [ ! -d {0} ]; do sleep 0.02; \
         done; touch awake",
        folder.display(),
        takes.as_secs_f64()
    );
    let wake = json!({"type": "command", "command": "sh", "args": ["-c", script],
                      "maxWaitSeconds": 60});
    let entry = provider("qwen", &format!("http://127.0.0.1:{port}"));
    and(entry, &json!({"maxConcurrency": 4, "wake": wake}))
}

/// Asks after a while, and may leave after another; whether the answer was complete.
pub(crate) fn tell(
    call: u64,
    ask: &Ask,
    request: reqwest::RequestBuilder,
    story: Story,
) -> impl Future<Output = bool> + Send + use<> {
    let body = json!({"model": "qwen", "stream": true, "messages": [], "x_call": call,
                      "x_pieces": ask.pieces, "x_pause": ask.pause});
    let request = request.header("x-request-id", call).json(&body);
    let (begin, patience) = (ask.begin, ask.patience);
    async move {
        tokio::time::sleep(begin).await;
        story.saw(Fact::Requested(call));
        let answer = tokio::time::timeout(patience, listen(call, request, &story)).await;
        story.saw(match answer {
            Ok(complete) => Fact::Ended { call, complete },
            Err(_) => Fact::Disconnected(call),
        });
        answer.unwrap_or(false)
    }
}

/// Reads an answer; whether it was complete.
async fn listen(call: u64, request: reqwest::RequestBuilder, story: &Story) -> bool {
    let Ok(mut answer) = request.send().await else { return false };
    if !answer.status().is_success() {
        return false;
    }
    let (mut rest, mut done) = (String::new(), false);
    while let Ok(Some(piece)) = answer.chunk().await {
        rest.push_str(std::str::from_utf8(&piece).unwrap());
        while let Some((line, after)) = rest.split_once('\n') {
            done |= line == "data: [DONE]";
            heard(call, line, story);
            rest = after.to_owned();
        }
    }
    done
}

fn heard(call: u64, line: &str, story: &Story) {
    let Some(data) = line.strip_prefix("data: ") else { return };
    let Ok(event) = serde_json::from_str::<Value>(data) else { return };
    let Some(text) = event["choices"][0]["delta"]["content"].as_str() else { return };
    let (of, piece) = text.trim().split_once(':').unwrap();
    let (of, piece) = (of.parse().unwrap(), piece.parse().unwrap());
    story.saw(Fact::Received { call, written_for: of, chunk: piece });
}
