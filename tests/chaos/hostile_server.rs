//! An agent whose server is silent or hostile: it exits in time, and it stays within its bounds.

use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use testkit::agent::provider;
use testkit::fake_server::{AgentOfFakeServer, Reply, task, task_id};
use testkit::figures::{record, scale};
use testkit::setup::with_keys;
use tokio::time::Instant;

/// Bound of the time to exit or to unpublish.
const END: Duration = Duration::from_secs(5);
const MEMORY_MB: u64 = 200;
const STATUS_KB: u64 = 256;
const MB: u64 = 1 << 20;
/// Factor of the agent's waits where real ones change nothing of what is measured.
const SHORT: f64 = 0.05;

/// The request to which the server does not respond while the agent is told to exit.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Silence {
    Register,
    Stream,
    Heartbeat,
    Withdrawal,
    Claim,
    Upload,
    Result,
}

const ALL: [Silence; 7] = [
    Silence::Register,
    Silence::Stream,
    Silence::Heartbeat,
    Silence::Withdrawal,
    Silence::Claim,
    Silence::Upload,
    Silence::Result,
];

/// Waits until the agent is held up by the server's silence.
async fn until_held_up(setup: &AgentOfFakeServer, silence: Silence) {
    let server = &setup.server;
    let by_reference =
        json!({"kind": "infer", "taskId": task_id(1), "llmName": "qwen", "bodyRef": true});
    let inline = task(&task_id(1), &json!({"model": "qwen", "messages": []}));
    let unknown = json!({"kind": "wake", "taskId": task_id(1), "llmName": "unknown"});
    let endpoint = match silence {
        Silence::Register => "register",
        Silence::Stream => "stream",
        Silence::Heartbeat => "heartbeat",
        Silence::Withdrawal => {
            setup.home.until_online().await;
            return server.set_reply("register", Reply::Silent);
        }
        Silence::Claim => {
            server.send_event("task", &by_reference).await;
            "request"
        }
        Silence::Upload => {
            server.send_event("task", &inline).await;
            "uplink"
        }
        Silence::Result => {
            server.send_event("task", &unknown).await;
            "result"
        }
    };
    server.until_request(endpoint, |_| true).await;
    // From now on the agent's other requests get no response either.
    for endpoint in ["register", "heartbeat", "result", "uplink"] {
        server.set_reply(endpoint, Reply::Silent);
    }
}

/// Time that an agent needs to exit.
async fn time_to_exit(silence: Silence) -> Duration {
    let silent: &[&str] = match silence {
        Silence::Register => &["register"],
        Silence::Stream => &["stream"],
        Silence::Heartbeat => &["heartbeat"],
        Silence::Withdrawal => &[],
        Silence::Claim => &["request"],
        Silence::Upload => &["uplink"],
        Silence::Result => &["result"],
    };
    let mut setup = AgentOfFakeServer::start(silent, scale()).await;
    until_held_up(&setup, silence).await;
    let signalled = Instant::now();
    let status = setup.agent.process.stop().await;
    let took = signalled.elapsed();
    assert!(status.success(), "{silence:?}: {status}");
    took
}

#[tokio::test]
async fn an_agent_exits_within_five_seconds_wherever_its_server_is_silent() {
    let mut took = Vec::new();
    for some in ALL.chunks(4) {
        took.extend(join_all(some.iter().map(|silence| time_to_exit(*silence))).await);
    }
    let slowest = took.iter().max().unwrap();
    let found = format!("{:.1}", slowest.as_secs_f64());
    record("hostile server, silent: the agent exits after SIGTERM, s", found, "≤ 5");
    assert!(*slowest <= END, "{ALL:?}: {took:?}");
}

#[tokio::test]
async fn an_unpublish_does_not_wait_for_a_silent_server() {
    let time_to_unpublish = async |silent: &[&'static str], silence| {
        let setup = AgentOfFakeServer::start(silent, scale()).await;
        until_held_up(&setup, silence).await;
        let entry = with_keys(provider("qwen", &setup.backend.url), &json!({"publish": false}));
        setup.home.configure(&setup.server.url, &[entry]);
        let edited = Instant::now();
        setup.home.until_status("idle", |s| s["connection"]["state"] == "idle").await;
        edited.elapsed()
    };
    let (unregistered, online) = tokio::join!(
        time_to_unpublish(&["register"], Silence::Register),
        time_to_unpublish(&[], Silence::Withdrawal)
    );
    let found = format!("{:.1}", unregistered.max(online).as_secs_f64());
    record("hostile server, silent: the agent has unpublished after, s", found, "≤ 5");
    assert!(unregistered.max(online) <= END, "{unregistered:?} {online:?}");
}

#[tokio::test]
async fn a_hostile_server_exhausts_neither_the_memory_nor_the_time_of_its_publisher() {
    let setup = AgentOfFakeServer::start(&[], SHORT).await;
    setup.home.until_online().await;
    let server = &setup.server;
    flooded_responses(&setup).await;
    let status_size = long_texts(&setup).await;

    // Wake tasks whose results the server does not accept.
    server.set_reply("result", Reply::Silent);
    for number in 0..20_000 {
        let wake = json!({"kind": "wake", "taskId": task_id(number), "llmName": "qwen"});
        server.send_event("task", &wake).await;
    }
    setup.until_task_answered(20_001).await;
    let results = server.requests("result").len();
    server.reset_reply("result");

    let pause = pauses(&setup).await;
    setup.until_task_answered(20_002).await;
    let peak = peak_memory(setup.agent.process.pid()) / MB;
    record("hostile server: the agent's memory at its peak, MB", peak, "≤ 200");
    record("hostile server: status.json, KB", status_size / 1024, "≤ 256");
    record("hostile server: the agent's longest pause, s", pause.as_secs(), "≤ 600");
    assert!(peak <= MEMORY_MB, "{peak} MB");
    assert!(status_size <= STATUS_KB * 1024, "{status_size} bytes");
    assert!(results <= 1_000, "{results} results at once");
}

/// Responses of several hundred megabytes to each request of the agent.
async fn flooded_responses(setup: &AgentOfFakeServer) {
    let (server, home) = (&setup.server, &setup.home);
    let too_long = |status: &Value| {
        let message = status["connection"]["message"].as_str().unwrap_or_default();
        message.contains("has more than")
    };
    server.set_reply("heartbeat", Reply::Flood(200, 800 * MB));
    home.until_status("why it is offline", too_long).await;
    server.set_reply("register", Reply::Flood(201, 800 * MB));
    server.reset_reply("heartbeat");
    home.until_status("why it is offline", too_long).await;
    let refused =
        |s: &Value| s["connection"]["message"].as_str().is_some_and(|m| m.contains("500"));
    server.set_reply("register", Reply::Flood(500, 800 * MB));
    home.until_status("the server's error", refused).await;
    server.reset_reply("register");
    home.until_online().await;

    server.set_reply("request", Reply::Flood(200, 1_200 * MB));
    let claim = json!({"kind": "infer", "taskId": task_id(1), "llmName": "qwen", "bodyRef": true});
    server.send_event("task", &claim).await;
    let failed = server.failure(&task_id(1)).await;
    assert_eq!(failed["code"], "request_too_large", "{failed}");
    server.reset_reply("request");
    setup.until_task_answered(2).await;
}

/// Texts of 110 KB (escaped) in one field of each task; returns the size of `status.json` afterwards.
async fn long_texts(setup: &AgentOfFakeServer) -> u64 {
    let long = "\u{1b}[2J".repeat(12 << 10);
    for number in 100..300 {
        let mut task = task(&task_id(number), &json!({"model": "qwen"}));
        task[["llmName", "user", "path"][number % 3]] = json!(long);
        setup.server.send_event("task", &task).await;
    }
    let last = task_id(299);
    let ended =
        |s: &Value| s["recent"].as_array().is_some_and(|r| r.iter().any(|t| t["taskId"] == *last));
    setup.home.until_status("the end of the last task", ended).await;
    let text = setup.home.read("status.json");
    assert!(!text.contains("\\u001b"), "status.json has terminal escapes");
    text.len() as u64
}

/// Requests pauses without an end; returns the longest that the agent makes.
async fn pauses(setup: &AgentOfFakeServer) -> Duration {
    let (server, home) = (&setup.server, &setup.home);
    let reconnect = |number: u8| {
        // Written and renamed, as our programs do: a half-written request is discarded.
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
        let status = home.until_status(why, waits).await;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        Duration::from_millis(status["connection"]["retryAt"].as_u64().unwrap()).saturating_sub(now)
    };
    server.send_event("drain", &json!({"reconnectAfterMs": u64::MAX})).await;
    let drain = pause("restarts").await;
    let after = vec![("retry-after", "1000000000".to_owned())];
    server.set_reply("register", Reply::Says(503, after, "{}".into()));
    reconnect(1);
    let retry = pause("503").await;
    // Heartbeats come even if the server requests the longest interval that can be expressed.
    let registered = json!({"protocol": 2, "providerSessionId": "fake-1", "epoch": 2,
                            "heartbeatSeconds": u64::MAX});
    server.set_reply("register", Reply::json(&registered));
    reconnect(2);
    home.until_online().await;
    let before = server.requests("heartbeat").len();
    testkit::within(Duration::from_secs(120), "two more heartbeats", async || {
        (server.requests("heartbeat").len() >= before + 2).then_some(())
    })
    .await;
    drain.max(retry)
}

/// Peak of a process's resident memory, in bytes.
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
