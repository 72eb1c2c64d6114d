//! A caller who leaves stops what was done for it, wherever its request was.

use crate::{at_rest, publish, world};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::backend::Backend;
use testkit::caller::scripted;
use testkit::figure::{figure, ms, percentile, scale, times};
use testkit::mcpd::Mcpd;
use testkit::world::{World, whole};
use tokio::time::Instant;

const PROMISE: &str = "caller gone → backend let go";

/// Starts a call, waits until it is where it should be, and drops it.
async fn leave(world: &World, body: &Value, there: impl Future<Output = ()>) -> Instant {
    let call = async {
        let answer = world.chat(body).await;
        let _ = answer.bytes().await;
    };
    tokio::select! {
        () = call => unreachable!("it never ends"),
        () = there => {}
    }
    Instant::now()
}

fn stream() -> Value {
    scripted("qwen", json!({"do": "count", "n": 99_999, "pauseMs": 10}))
}

fn endless() -> Value {
    let mut body = whole();
    body["x_script"] = json!({"do": "never"});
    body
}

async fn queued(world: &World, count: u64) {
    world.mcpd.row(&world.caller, "qwen", |row| row["queued"] == count).await;
}

#[tokio::test]
async fn whoever_leaves_a_running_or_waiting_request_lets_the_backend_go() {
    let world = world(1).await;
    let mut found = Vec::new();
    for _ in 0..times(250, 10) {
        for body in [stream(), endless()] {
            let left = leave(&world, &body, world.backend.until_open(1)).await;
            world.backend.until_open(0).await;
            found.push(left.elapsed());
        }
    }
    tell(found, "streaming and whole");
    at_rest(&world).await;

    let mut found = Vec::new();
    let body = stream();
    let first = async { drop(world.chat(&body).await.bytes().await) };
    let others = async {
        world.backend.until_open(1).await;
        for _ in 0..times(250, 10) {
            let left = leave(&world, &stream(), queued(&world, 1)).await;
            queued(&world, 0).await;
            found.push(left.elapsed());
        }
    };
    tokio::select! {
        () = first => unreachable!("it never ends"),
        () = others => {}
    }
    tell(found, "queued");
    at_rest(&world).await;
    let asked = world.backend.seen().len();
    assert_eq!(asked, times(250, 10) * 2 + 1, "who left the queue was never sent");
}

#[tokio::test]
async fn whoever_leaves_during_a_wake_does_not_stop_it_and_is_not_sent() {
    let (mcpd, backend) = (Mcpd::quiet(scale()).await, Backend::asleep().await);
    let gate = tempfile::tempdir().unwrap();
    let script = format!(
        "until [ -e {} ]; do sleep 0.02; done; touch {}",
        gate.path().join("open").display(),
        backend.flag().display()
    );
    let recipe = json!({"type": "command", "command": "sh", "args": ["-c", script],
                        "maxWaitSeconds": 300});
    let world = publish(mcpd, backend, &json!({"wake": recipe})).await;
    let mut found = Vec::new();
    for _ in 0..times(250, 10) {
        let left = leave(&world, &stream(), queued(&world, 1)).await;
        queued(&world, 0).await;
        found.push(left.elapsed());
    }
    tell(found, "waking");
    std::fs::write(gate.path().join("open"), "").unwrap();
    world.mcpd.active(&world.caller, "qwen").await;
    at_rest(&world).await;
    assert_eq!(world.backend.seen().len(), 0, "nobody waited any more");
}

fn tell(mut found: Vec<Duration>, what: &str) {
    found.sort();
    let slow = percentile(&found, 99);
    let said = format!("{} of {} times ({what}), 0 leaks", ms(slow), found.len());
    figure(&format!("{PROMISE}, {what}, p99"), said, "≤ 250 ms, 0 leaks");
    assert!(slow < Duration::from_secs(1), "{what}: {slow:?}");
}
