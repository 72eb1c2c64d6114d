//! A publisher whose server is silent or hostile: it ends in time, and it keeps within its bounds.

use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use testkit::agent::{Agent, Home, provider};
use testkit::backend::Backend;
use testkit::figure::{figure, scale};
use testkit::hostile::{Hostile, Reply, task, task_id};
use testkit::world::and;
use tokio::time::Instant;

/// What was promised.
const END: Duration = Duration::from_secs(5);
const MEMORY_MB: u64 = 200;
const STATUS_KB: u64 = 256;
const MB: u64 = 1 << 20;

/// Where a server is silent when its publisher is told to end.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Silence {
    Register,
    Stream,
    Heartbeat,
    Goodbye,
    Claim,
    Upload,
    Result,
}

const ALL: [Silence; 7] = [
    Silence::Register,
    Silence::Stream,
    Silence::Heartbeat,
    Silence::Goodbye,
    Silence::Claim,
    Silence::Upload,
    Silence::Result,
];

struct Publisher {
    server: Hostile,
    backend: Backend,
    home: Home,
    agent: Agent,
}

impl Publisher {
    /// At a server that is silent there from the beginning.
    async fn new(silent: &[&'static str]) -> Self {
        Self::scaled(silent, scale()).await
    }

    async fn scaled(silent: &[&'static str], scale: f64) -> Self {
        let (server, backend) = (Hostile::start().await, Backend::awake().await);
        for endpoint in silent {
            server.set(endpoint, Reply::Silent);
        }
        let entry = and(provider("qwen", &backend.url), &json!({"maxConcurrency": 1}));
        let home = Home::with(&server.url, &[entry]);
        let agent = Agent::scaled(&home, "t", scale);
        Self { server, backend, home, agent }
    }

    async fn online(&self) {
        self.home.shows("online", |s| s["connection"]["state"] == "online").await;
    }

    /// A task that a good server could send is answered.
    async fn answers(&self, number: usize) {
        let id = task_id(number);
        self.server.event("task", &task(&id, &json!({"model": "qwen", "messages": []}))).await;
        self.server.until_asked("response", |asked| asked.path.contains(&id)).await;
    }

    /// Waits until it has come so far that the server's silence holds it up.
    async fn held_up_by(&self, silence: Silence) {
        let by_reference = json!({"kind": "infer", "taskId": task_id(1), "llmName": "qwen",
                                  "bodyRef": true});
        let inline = task(&task_id(1), &json!({"model": "qwen", "messages": []}));
        let endpoint = match silence {
            Silence::Register => "register",
            Silence::Stream => "stream",
            Silence::Heartbeat => "heartbeat",
            Silence::Goodbye => {
                self.online().await;
                return self.server.set("register", Reply::Silent);
            }
            Silence::Claim => {
                self.server.event("task", &by_reference).await;
                "request"
            }
            Silence::Upload => {
                self.server.event("task", &inline).await;
                "response"
            }
            Silence::Result => {
                self.server
                    .event(
                        "task",
                        &json!({"kind": "wake", "taskId": task_id(1),
                                                  "llmName": "unknown"}),
                    )
                    .await;
                "result"
            }
        };
        self.server.until_asked(endpoint, |_| true).await;
        // Whatever it has yet to say, nobody answers.
        for endpoint in ["register", "heartbeat", "result", "response", "ack"] {
            self.server.set(endpoint, Reply::Silent);
        }
    }
}

/// How long a publisher needs to end.
async fn end(silence: Silence) -> Duration {
    let silent: &[&str] = match silence {
        Silence::Register => &["register"],
        Silence::Stream => &["stream"],
        Silence::Heartbeat => &["heartbeat"],
        Silence::Goodbye => &[],
        Silence::Claim => &["request"],
        Silence::Upload => &["response"],
        Silence::Result => &["result"],
    };
    let mut publisher = Publisher::new(silent).await;
    publisher.held_up_by(silence).await;
    let told = Instant::now();
    let ended = publisher.agent.process.stop().await;
    let took = told.elapsed();
    assert!(ended.success(), "{silence:?}: {ended}");
    took
}

#[tokio::test]
async fn an_agent_ends_within_five_seconds_wherever_its_server_is_silent() {
    let mut took = Vec::new();
    for some in ALL.chunks(4) {
        took.extend(join_all(some.iter().map(|silence| end(*silence))).await);
    }
    let slowest = took.iter().max().unwrap();
    let said = format!("{:.1}", slowest.as_secs_f64());
    figure("hostile server, silent: the agent ends after SIGTERM, s", said, "≤ 5");
    assert!(*slowest <= END, "{ALL:?}: {took:?}");
}

#[tokio::test]
async fn an_unpublish_does_not_wait_for_a_silent_server() {
    let unpublished = async |publisher: &Publisher| {
        let entry = and(provider("qwen", &publisher.backend.url), &json!({"publish": false}));
        publisher.home.configure(&publisher.server.url, &[entry]);
        let told = Instant::now();
        publisher.home.shows("idle", |s| s["connection"]["state"] == "idle").await;
        told.elapsed()
    };
    // Before it ever got an answer, and at the goodbye.
    let never = async {
        let publisher = Publisher::new(&["register"]).await;
        publisher.held_up_by(Silence::Register).await;
        unpublished(&publisher).await
    };
    let goodbye = async {
        let publisher = Publisher::new(&[]).await;
        publisher.held_up_by(Silence::Goodbye).await;
        unpublished(&publisher).await
    };
    let (never, goodbye) = tokio::join!(never, goodbye);
    let said = format!("{:.1}", never.max(goodbye).as_secs_f64());
    figure("hostile server, silent: the agent has unpublished after, s", said, "≤ 5");
    assert!(never.max(goodbye) <= END, "{never:?} {goodbye:?}");
}

#[tokio::test]
async fn a_hostile_server_exhausts_neither_memory_nor_patience_of_its_publisher() {
    // The real waits change nothing of what it keeps.
    let publisher = Publisher::scaled(&[], 0.1).await;
    publisher.online().await;
    let server = &publisher.server;
    flooded_answers(&publisher).await;
    let texts = long_texts(&publisher).await;

    // Tasks to wake that nobody takes the results of.
    server.set("result", Reply::Silent);
    for number in 0..20_000 {
        let wake = json!({"kind": "wake", "taskId": task_id(number), "llmName": "qwen"});
        server.event("task", &wake).await;
    }
    publisher.answers(20_001).await;
    let woken = server.asked("result").len();
    server.mend("result");

    let pause = pauses(&publisher).await;
    publisher.answers(20_002).await;
    let peak = peak(publisher.agent.process.pid()) / MB;
    figure("hostile server: the agent's memory at its peak, MB", peak, "≤ 200");
    figure("hostile server: status.json, KB", texts / 1024, "≤ 256");
    figure("hostile server: its longest pause, s", pause.as_secs(), "≤ 600");
    assert!(peak <= MEMORY_MB, "{peak} MB");
    assert!(texts <= STATUS_KB * 1024, "{texts} bytes");
    assert!(woken <= 1_000, "{woken} results at once");
}

/// Answers of some hundred megabytes, wherever the agent reads one.
async fn flooded_answers(publisher: &Publisher) {
    let (server, home) = (&publisher.server, &publisher.home);
    let too_long = |status: &Value| {
        let message = status["connection"]["message"].as_str().unwrap_or_default();
        message.contains("has more than")
    };
    server.set("heartbeat", Reply::Flood(200, 800 * MB));
    home.shows("why it is offline", too_long).await;
    server.set("register", Reply::Flood(201, 800 * MB));
    server.mend("heartbeat");
    home.shows("why it is offline", too_long).await;
    let refused =
        |s: &Value| s["connection"]["message"].as_str().is_some_and(|m| m.contains("500"));
    server.set("register", Reply::Flood(500, 800 * MB));
    home.shows("the server's error", refused).await;
    server.mend("register");
    publisher.online().await;

    server.set("request", Reply::Flood(200, 1_200 * MB));
    let claims = json!({"kind": "infer", "taskId": task_id(1), "llmName": "qwen", "bodyRef": true});
    server.event("task", &claims).await;
    let failed = server.result(&task_id(1)).await;
    assert_eq!(failed["error"]["code"], "request_too_large", "{failed}");
    server.mend("request");
    publisher.answers(2).await;
}

/// Texts of 110 KB; how long the status was at most.
async fn long_texts(publisher: &Publisher) -> u64 {
    let long = "\u{1b}[2J".repeat(12 << 10);
    for number in 100..300 {
        let mut task = task(&task_id(number), &json!({"model": "qwen"}));
        task[["llmName", "user", "path"][number % 3]] = json!(long);
        publisher.server.event("task", &task).await;
    }
    let last = task_id(299);
    let ended =
        |s: &Value| s["recent"].as_array().is_some_and(|r| r.iter().any(|t| t["taskId"] == *last));
    publisher.home.shows("the last one ended", ended).await;
    let text = publisher.home.read("status.json");
    assert!(!text.contains("\\u001b"), "escapes of a terminal");
    text.len() as u64
}

/// Asks for pauses that never end; the longest that the agent makes.
async fn pauses(publisher: &Publisher) -> Duration {
    let (server, home) = (&publisher.server, &publisher.home);
    let reconnect = |number: u8| {
        // In one step, as programs do it: one that is half written is not understood and lost.
        let file = |name: String| home.file(&name);
        let (part, whole) = (format!("{number}.part"), format!("requests/{number}.json"));
        std::fs::write(file(part.clone()), json!({"what": "reconnect"}).to_string()).unwrap();
        std::fs::rename(file(part), file(whole)).unwrap();
    };
    let pause = async |why: &str| {
        let waits = |s: &Value| {
            let message = s["connection"]["message"].as_str();
            message.is_some_and(|message| message.contains(why))
        };
        let status = home.shows(why, waits).await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Duration::from_millis(status["connection"]["retryAt"].as_u64().unwrap()).saturating_sub(now)
    };
    server.event("drain", &json!({"reconnectAfterMs": u64::MAX})).await;
    let drain = pause("restarts").await;
    let after = vec![("retry-after", "1000000000".to_owned())];
    server.set("register", Reply::Says(503, after, "{}".into()));
    reconnect(1);
    let retry = pause("503").await;
    // One that asks for heartbeats at the end of time hears them nevertheless.
    server.set(
        "register",
        Reply::json(&json!({"protocol": 2, "providerSessionId": "hostile-1",
                                               "epoch": 2, "heartbeatSeconds": u64::MAX})),
    );
    reconnect(2);
    publisher.online().await;
    let beats = server.asked("heartbeat").len();
    testkit::within(Duration::from_secs(120), "two more heartbeats", async || {
        (server.asked("heartbeat").len() >= beats + 2).then_some(())
    })
    .await;
    drain.max(retry)
}

/// What a process held of the machine's memory at most, in bytes.
fn peak(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
