//! Answers that go on while the connections between publisher and server are lost.

use crate::namespace::{Namespace, PORT, token};
use crate::scenario::recording_backend;
use crate::{publish_to, setup, until_idle};
use futures_util::future::join_all;
use reqwest::Response;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::agent::{Home, provider};
use testkit::caller::{Streamed, counted, read_stream, read_stream_with, scripted_chat};
use testkit::certificate::Certificate;
use testkit::fake_backend::FakeBackend;
use testkit::fault_proxy::{Fault, FaultProxy};
use testkit::figures::{ms, percentile, record, scale, scaled, times};
use testkit::mcpd::Mcpd;
use testkit::process::program;
use testkit::setup::{Setup, chat_body};
use tokio::time::Instant;

/// Events of an answer, and the pause between two in milliseconds.
const EVENTS: u64 = 60;
const PAUSE_MS: u64 = 5;
/// About as many bytes pass between server and publisher during one of them.
const BYTES: usize = 12_000;
/// Port of the backend in its namespace.
const BACKEND: u16 = 8082;

fn body() -> Value {
    scripted_chat("qwen", json!({"do": "count", "n": EVENTS, "pauseMs": PAUSE_MS}))
}

/// The usual setup with a proxy between agent and server.
async fn through_proxy() -> (Setup, FaultProxy) {
    let (mcpd, backend) = (Mcpd::logging("info", scale()).await, FakeBackend::awake().await);
    let proxy = FaultProxy::in_front_of(&mcpd.url).await;
    let setup = publish_to(&proxy.url, mcpd, backend, &json!({"maxConcurrency": 4})).await;
    (setup, proxy)
}

/// Reads a stream to its end; returns with it the longest time between two reads.
async fn read_with_pauses(response: Response) -> (Streamed, Duration) {
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    let streamed = read_stream_with(response, || {
        longest = longest.max(last.elapsed());
        last = Instant::now();
    });
    (streamed.await, longest)
}

#[tokio::test]
async fn an_answer_goes_on_when_every_connection_is_cut_at_any_byte_and_runs_once() {
    let (setup, proxy) = through_proxy().await;
    let (rounds, body) = (times(1_000, 40), body());
    let (mut pauses, mut cuts) = (Vec::with_capacity(rounds), 0);
    for round in 0..rounds {
        setup.mcpd.until_entry(&setup.caller, "qwen", |entry| entry["connected"] == true).await;
        // Spread over all of an answer: the golden ratio's multiples are.
        proxy.cut_after(1 + (round * 7_417) % BYTES);
        let before = proxy.cuts();
        let (streamed, pause) = read_with_pauses(setup.chat(&body).await).await;
        cuts += proxy.cuts() - before;
        pauses.push(pause);
        let is_exact = streamed.text == counted(EVENTS) && streamed.done;
        assert!(is_exact, "round {round}: {streamed:?}");
    }
    assert_eq!(setup.backend.requests().len(), rounds, "each request ran once at the backend");
    until_idle(&setup).await;
    pauses.sort();
    let p99 = percentile(&pauses, 99).div_f64(scale());
    let found = format!("{rounds} of {rounds}, {cuts} cuts in the middle of one");
    record(
        "every connection is cut at any byte: answers that are exact and ran once",
        found,
        "all",
    );
    record("… the longest pause of a caller, p99", ms(p99), "≤ 3 s");
    assert!(p99 <= Duration::from_secs(3), "{p99:?}");
    assert!(cuts >= rounds / 2, "only {cuts} cuts");
}

#[tokio::test]
async fn answers_go_on_after_the_server_stood_still_for_5_seconds() {
    let setup = setup(4).await;
    let begun = join_all((0..4).map(async |_| setup.chat(&body()).await)).await;
    setup.mcpd.process.signal("STOP");
    tokio::time::sleep(scaled(Duration::from_secs(5))).await;
    setup.mcpd.process.signal("CONT");
    for response in begun {
        let streamed = read_stream(response).await;
        assert_eq!((streamed.text, streamed.done), (counted(EVENTS), true));
    }
    assert_eq!(setup.backend.requests().len(), 4, "each request ran once at the backend");
    until_idle(&setup).await;
}

#[tokio::test]
async fn a_publisher_that_stays_away_costs_its_caller_one_explicit_error_and_leaves_nothing() {
    let (setup, proxy) = through_proxy().await;
    let endless = scripted_chat("qwen", json!({"do": "count", "n": 99_999, "pauseMs": 10}));
    let mut response = setup.chat(&endless).await;
    response.chunk().await.unwrap().unwrap();
    let cut = Instant::now();
    proxy.set(Fault::Down);
    let streamed = read_stream(response).await;
    let took = cut.elapsed().div_f64(scale());
    assert_eq!(streamed.error.as_deref(), Some("publisher_lost"), "{streamed:?}");
    assert!(!streamed.done && !streamed.broken, "{streamed:?}");
    record("the publisher stays away: its caller's error", ms(took), "≤ 17 s");
    assert!(took <= Duration::from_secs(17), "{took:?}");
    proxy.set(Fault::None);
    setup.mcpd.until_entry(&setup.caller, "qwen", |entry| entry["connected"] == true).await;
    until_idle(&setup).await;
    assert_eq!(setup.chat(&chat_body()).await.status(), 200);
}

#[tokio::test]
async fn an_answer_goes_on_when_its_publishers_machine_gets_another_address() {
    const PROMISE: &str = "the publisher's machine gets another address: pause of the caller";
    let (Some(server_side), Some(machine)) = (Namespace::new(76), Namespace::new(77)) else {
        return record(PROMISE, "skipped: no network namespaces here", "≤ 3 s");
    };
    let Some(cable) = machine.cable_to(&server_side) else {
        return record(PROMISE, "skipped: no virtual cables here", "≤ 3 s");
    };
    let (folder, backend_folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for file in ["awake", "open"] {
        std::fs::write(backend_folder.path().join(file), "").unwrap();
    }
    let command = machine.command(program("recording_backend"));
    let backend = recording_backend(command, BACKEND, backend_folder.path());
    // A publisher sends its token to another machine by TLS only.
    let certificate = Certificate::valid_for(&[&cable.server, &server_side.address()]);
    let _server = server_side.server_with_tls(&folder, &certificate).await;
    let caller = token(&folder, "tom", "infer");
    let entry = provider("qwen", &format!("http://127.0.0.1:{BACKEND}"));
    let home = Home::with_config(&format!("https://{}:{PORT}", cable.server), &[entry]);
    let _agent = machine.agent_with_tls(&home, &folder, &certificate);
    let (client, url) = (certificate.client(), server_side.url().replace("http:", "https:"));
    testkit::until("it is published", async || {
        let entry = client.get(format!("{url}/api/v1/llms/qwen")).bearer_auth(&caller);
        let entry: Value = entry.send().await.ok()?.json().await.ok()?;
        (entry["status"] == "active" && entry["connected"] == true).then_some(())
    })
    .await;
    let script = json!({"do": "record", "call": 1, "n": 300, "pauseMs": 10});
    let call = client.post(format!("{url}/v1/chat/completions")).bearer_auth(&caller);
    let mut response = call.json(&scripted_chat("qwen", script)).send().await.unwrap();
    response.chunk().await.unwrap().unwrap();
    assert!(machine.change_address(&cable), "the address can be changed");
    let (streamed, pause) = read_with_pauses(response).await;
    let pieces = streamed.text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let written = (0..300).map(|piece| format!("1:{piece}")).collect::<Vec<_>>();
    // The first piece was read before the change.
    assert_eq!((&pieces[..], streamed.done), (&written[1..], true));
    assert_eq!(backend.stdout().matches("runs 1").count(), 1, "it ran once at the backend");
    record(PROMISE, ms(pause), "≤ 3 s");
    assert!(pause <= Duration::from_secs(3), "{pause:?}");
}
