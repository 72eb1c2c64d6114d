//! Stories on real processes: callers ask and leave while servers, publishers and backends are killed
//! or stopped and the network misbehaves. The checker of the simulation reads what all of them logged.
//! `TRUST_SEED` tells one story again.

use e2e::agent::{Agent, Home, provider};
use e2e::fault::{Fault, Proxy};
use e2e::figure::{figure, times};
use e2e::mcpd::Mcpd;
use e2e::process::{Process, program};
use e2e::story::Story;
use e2e::world::and;
use futures_util::future::join_all;
use serde_json::json;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use trust::history::{Bounds, Fact, check};
use trust::tape::Tape;

const CALLS: u64 = 24;
/// In a tenth of the real time: what a stopped publisher costs is the longest of all.
const BOUNDS: Bounds = Bounds { closed_within: 30_000, ended_within: 60_000, runs_again: 2 };

struct Cast {
    mcpd: Mcpd,
    agent: Agent,
    backend: Process,
    proxy: Proxy,
    folder: TempDir,
    port: u16,
    publisher: String,
    caller: String,
    story: Story,
}

#[tokio::test]
async fn no_story_of_kills_stops_and_bad_networks_breaks_an_invariant() {
    let told = std::env::var("TRUST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds: Vec<u64> = match told {
        Some(seed) => vec![seed],
        None => (0..times(60, 8) as u64).collect(),
    };
    let (mut complete, mut breaches) = (0, Vec::new());
    for seed in &seeds {
        let (whole, found) = tell(*seed).await;
        complete += whole;
        breaches.extend(found.into_iter().map(|breach| format!("seed {seed}: {breach}")));
    }
    let asked = seeds.len() as u64 * CALLS;
    figure("stories on real processes: requests", format!("{asked}, {complete} complete"), "–");
    figure("stories on real processes: invariant violations", breaches.len(), "0");
    assert!(breaches.is_empty(), "{breaches:#?}");
    assert!(complete > 0);
}

async fn tell(seed: u64) -> (usize, Vec<String>) {
    let mut cast = Cast::new().await;
    let mut tape = Tape::seeded(seed);
    let calls: Vec<_> = (0..CALLS).map(|call| cast.call(call, &mut tape)).collect();
    let callers = tokio::spawn(join_all(calls));
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(tape.between(50, 700))).await;
        cast.trouble(&mut tape).await;
    }
    callers.await.unwrap();
    cast.end().await
}

/// The backend of the story.
fn backend(folder: &TempDir, port: u16) -> Process {
    let mut command = Command::new(program("teller"));
    Process::start("teller", command.arg(port.to_string()), folder.path())
}

impl Cast {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = e2e::free_port();
        let backend = backend(&folder, port);
        let mcpd = Mcpd::quiet(0.1).await;
        let proxy = Proxy::before(&mcpd.url).await;
        let entry = provider("qwen", &format!("http://127.0.0.1:{port}"));
        let home = Home::with(&proxy.url, &[and(entry, &json!({"maxConcurrency": 4}))]);
        let (publisher, caller) = (mcpd.token("mia", "publish"), mcpd.token("tom", "infer"));
        let agent = Agent::scaled(&home, &publisher, 0.1);
        mcpd.active(&caller, "qwen").await;
        let story = Story::default();
        Self { mcpd, agent, backend, proxy, folder, port, publisher, caller, story }
    }

    /// One caller, who asks after a while and may leave after another.
    fn call(&self, call: u64, tape: &mut Tape<'_>) -> impl Future<Output = ()> + Send + use<> {
        let body = json!({"model": "qwen", "stream": true, "messages": [], "x_call": call,
                          "x_pieces": tape.between(1, 30), "x_pause": tape.between(1, 40)});
        let begin = Duration::from_millis(tape.below(2_000));
        let patience = if tape.chance(25) { tape.below(1_500) } else { 600_000 };
        let request = self.mcpd.post("/v1/chat/completions", &self.caller).json(&body);
        let story = self.story.clone();
        async move {
            tokio::time::sleep(begin).await;
            story.saw(Fact::Asks(call));
            let patience = Duration::from_millis(patience);
            let complete = tokio::time::timeout(patience, listen(call, request, &story)).await;
            story.saw(match complete {
                Ok(complete) => Fact::Ends { call, complete },
                Err(_) => Fact::Leaves(call),
            });
        }
    }

    async fn trouble(&mut self, tape: &mut Tape<'_>) {
        let pause = Duration::from_millis(tape.between(50, 1_500));
        match tape.below(10) {
            0 => {
                self.mcpd.process.kill();
                let again = self.mcpd.again().await;
                self.mcpd = again;
            }
            1 => stop(&self.mcpd.process, pause).await,
            2 => {
                self.agent.process.kill();
                tokio::time::sleep(pause).await;
                self.agent = Agent::scaled(&self.agent.home.clone(), &self.publisher, 0.1);
            }
            3 => stop(&self.agent.process, pause).await,
            4 => {
                self.backend.kill();
                self.take_log();
                self.story.backend_died();
                tokio::time::sleep(pause).await;
                self.backend = backend(&self.folder, self.port);
            }
            5 => stop(&self.backend, pause).await,
            _ => {
                let latency = Fault::Latency(Duration::from_millis(tape.between(10, 300)));
                let slice = Fault::Slice(tape.index(200) + 1);
                let faults = [
                    latency,
                    slice,
                    Fault::Bandwidth(20_000),
                    Fault::Held,
                    Fault::Reset,
                    Fault::Down,
                ];
                self.proxy.set(faults[tape.index(faults.len())]);
                tokio::time::sleep(pause).await;
                self.proxy.set(Fault::None);
            }
        }
    }

    /// What the backend has said since the last time.
    fn take_log(&self) {
        let file = self.folder.path().join("teller.out");
        let log = std::fs::read_to_string(&file).unwrap_or_default();
        self.story.take_backends_log(&log);
        std::fs::write(file, "").unwrap();
    }

    /// Everybody is well again: all must come to rest, and nothing may be left.
    async fn end(self) -> (usize, Vec<String>) {
        self.mcpd.active(&self.caller, "qwen").await;
        let rest = |row: &serde_json::Value| row["inFlight"] == 0 && row["queued"] == 0;
        self.mcpd.row(&self.caller, "qwen", rest).await;
        self.story.saw(Fact::Holds(0));
        self.take_log();
        let history = self.story.history();
        let whole = |entry: &&trust::history::Entry| {
            matches!(entry.fact, Fact::Ends { complete: true, .. })
        };
        (history.entries.iter().filter(whole).count(), check(&history, &BOUNDS))
    }
}

async fn stop(process: &Process, pause: Duration) {
    process.signal("STOP");
    tokio::time::sleep(pause).await;
    process.signal("CONT");
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
    let Ok(event) = serde_json::from_str::<serde_json::Value>(data) else { return };
    let Some(text) = event["choices"][0]["delta"]["content"].as_str() else { return };
    let (of, piece) = text.trim().split_once(':').unwrap();
    let (of, piece) = (of.parse().unwrap(), piece.parse().unwrap());
    story.saw(Fact::Receives { call, of, piece });
}
