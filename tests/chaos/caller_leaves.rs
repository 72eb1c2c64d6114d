//! A caller that disconnects stops the work for its request, wherever the request is.

use crate::{publish, setup, until_idle};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::caller::scripted_chat;
use testkit::fake_backend::FakeBackend;
use testkit::figures::{ms, percentile, record, scale, times};
use testkit::mcpd::Mcpd;
use testkit::setup::{Setup, chat_body};
use tokio::time::Instant;

const PROMISE: &str = "caller disconnects: time to release the backend";

/// Starts a call, waits until `reached`, and disconnects; returns the time of that.
async fn leave(setup: &Setup, body: &Value, reached: impl Future<Output = ()>) -> Instant {
    let call = async {
        let response = setup.chat(body).await;
        let _ = response.bytes().await;
    };
    tokio::select! {
        () = call => unreachable!("the response never ends"),
        () = reached => {}
    }
    Instant::now()
}

fn stream() -> Value {
    scripted_chat("qwen", json!({"do": "count", "n": 99_999, "pauseMs": 10}))
}

fn endless() -> Value {
    let mut body = chat_body();
    body["x_script"] = json!({"do": "never"});
    body
}

async fn until_queued(setup: &Setup, count: u64) {
    setup.mcpd.until_entry(&setup.caller, "qwen", |entry| entry["queued"] == count).await;
}

#[tokio::test]
async fn a_caller_that_leaves_a_running_or_queued_request_releases_the_backend() {
    let setup = setup(1).await;
    let mut found = Vec::new();
    for _ in 0..times(250, 10) {
        for body in [stream(), endless()] {
            let left = leave(&setup, &body, setup.backend.until_open_responses(1)).await;
            setup.backend.until_open_responses(0).await;
            found.push(left.elapsed());
        }
    }
    record_times(found, "streaming and whole");
    until_idle(&setup).await;

    let mut found = Vec::new();
    let body = stream();
    let first = async { drop(setup.chat(&body).await.bytes().await) };
    let others = async {
        setup.backend.until_open_responses(1).await;
        for _ in 0..times(250, 10) {
            let left = leave(&setup, &stream(), until_queued(&setup, 1)).await;
            until_queued(&setup, 0).await;
            found.push(left.elapsed());
        }
    };
    tokio::select! {
        () = first => unreachable!("the response never ends"),
        () = others => {}
    }
    record_times(found, "queued");
    until_idle(&setup).await;
    let requests = setup.backend.requests().len();
    assert_eq!(requests, times(250, 10) * 2 + 1, "no request that left the queue was sent");
}

#[tokio::test]
async fn a_caller_that_leaves_during_a_wake_does_not_stop_it_and_its_request_is_not_sent() {
    let (mcpd, backend) = (Mcpd::logging("info", scale()).await, FakeBackend::asleep().await);
    let gate = tempfile::tempdir().unwrap();
    let script = format!(
        "until [ -e {} ]; do sleep 0.02; done; touch {}",
        gate.path().join("open").display(),
        backend.awake_file().display()
    );
    let recipe = json!({"type": "command", "command": "sh", "args": ["-c", script],
                        "maxWaitSeconds": 300});
    let setup = publish(mcpd, backend, &json!({"wake": recipe})).await;
    let mut found = Vec::new();
    for _ in 0..times(250, 10) {
        let left = leave(&setup, &stream(), until_queued(&setup, 1)).await;
        until_queued(&setup, 0).await;
        found.push(left.elapsed());
    }
    record_times(found, "waking");
    std::fs::write(gate.path().join("open"), "").unwrap();
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    until_idle(&setup).await;
    assert_eq!(setup.backend.requests().len(), 0, "no request was waiting any more");
}

fn record_times(mut found: Vec<Duration>, what: &str) {
    found.sort();
    let slow = percentile(&found, 99);
    let text = format!("{} of {} times ({what}), 0 leaks", ms(slow), found.len());
    record(&format!("{PROMISE}, {what}, p99"), text, "≤ 250 ms, 0 leaks");
    assert!(slow < Duration::from_secs(1), "{what}: {slow:?}");
}
