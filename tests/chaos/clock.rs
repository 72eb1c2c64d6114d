//! A wall clock that is set by days while everybody works.

use crate::publish;
use serde_json::json;
use std::path::Path;
use testkit::agent::Agent;
use testkit::backend::Backend;
use testkit::caller::{read, scripted};
use testkit::figure::figure;
use testkit::mcpd::Mcpd;
use testkit::world::whole;

const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// What makes a program take its time from this file.
fn faked(file: &str) -> [(&'static str, &str); 4] {
    [
        ("LD_PRELOAD", LIBRARY),
        ("FAKETIME_TIMESTAMP_FILE", file),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ]
}

#[tokio::test]
async fn a_key_expires_by_the_clock_on_the_wall_also_when_that_is_corrected() {
    const PROMISE: &str = "a clock is corrected by two days: an expired key";
    const EXPECTED: &str = "is refused at once, and its stream ends";
    if !Path::new(LIBRARY).exists() {
        return figure(PROMISE, "skipped: no libfaketime here", EXPECTED);
    }
    let folder = tempfile::tempdir().unwrap();
    let time = folder.path().join("time");
    let set = |offset: &str| std::fs::write(&time, offset).unwrap();
    set("+0");
    let file = time.display().to_string();
    let mcpd = Mcpd::in_folder(tempfile::tempdir().unwrap(), &faked(&file)).await;
    let mut world = publish(mcpd, Backend::awake().await, &json!({"maxConcurrency": 2})).await;
    let for_a_day = world.mcpd.make_token("ann", "infer", &["--expires-in-days", "1"]);
    world.caller = for_a_day["token"].as_str().unwrap().to_owned();
    let body = scripted("qwen", json!({"do": "count", "n": 99_999, "pauseMs": 10}));
    let mut answer = world.chat(&body).await;
    answer.chunk().await.unwrap().unwrap();
    set("+2d");
    assert_eq!(world.chat(&whole()).await.status(), 401);
    assert!(!read(answer).await.done, "what it holds open ends too");
    set("+0");
    assert_eq!(world.chat(&whole()).await.status(), 200);
    figure(PROMISE, EXPECTED, EXPECTED);
}

#[tokio::test]
async fn a_clock_that_is_set_by_days_ends_nothing() {
    const PROMISE: &str = "the wall clock is set two days forth and back";
    if !Path::new(LIBRARY).exists() {
        return figure(PROMISE, "skipped: no libfaketime here", "nothing ends");
    }
    let folder = tempfile::tempdir().unwrap();
    let time = folder.path().join("time");
    let set = |offset: &str| std::fs::write(&time, offset).unwrap();
    set("+0");
    let file = time.display().to_string();
    let fake = faked(&file);
    let mcpd = Mcpd::in_folder(tempfile::tempdir().unwrap(), &fake).await;
    let mut world = publish(mcpd, Backend::awake().await, &json!({})).await;
    world.agent.process.stop().await;
    let token = [("MCPCTL_TOKEN", world.publisher.as_str()), ("MCPCTL_TIME_SCALE", "0.1")];
    world.agent = Agent::with(&world.home, &[&token[..], &fake].concat());
    world.mcpd.active(&world.caller, "qwen").await;
    for offset in ["+2d", "-2d", "+0"] {
        set(offset);
        // Several sweeps, heartbeats and looks at the clock, all of them with the new time.
        for _ in 0..20 {
            let answer = world.chat(&whole()).await;
            assert_eq!(answer.status(), 200, "at {offset}");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            world.mcpd.active(&world.caller, "qwen").await;
        }
    }
    assert!(world.agent.process.ended().is_none() && world.mcpd.process.ended().is_none());
    figure(PROMISE, "60 calls answered, still published", "nothing ends");
}
