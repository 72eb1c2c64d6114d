//! A wall clock that is set by days while processes run.

use crate::publish;
use serde_json::json;
use std::path::Path;
use testkit::agent::Agent;
use testkit::caller::{read_stream, scripted_chat};
use testkit::fake_backend::FakeBackend;
use testkit::figures::record;
use testkit::mcpd::Mcpd;
use testkit::setup::chat_body;

const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// Environment with which a program reads its wall clock from this file.
fn fake_clock(file: &str) -> [(&'static str, &str); 4] {
    [
        ("LD_PRELOAD", LIBRARY),
        ("FAKETIME_TIMESTAMP_FILE", file),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ]
}

#[tokio::test]
async fn a_token_expires_by_the_wall_clock_even_when_that_is_corrected() {
    const PROMISE: &str = "a clock is corrected by two days: an expired key";
    const EXPECTED: &str = "is refused at once, and its stream ends";
    if !Path::new(LIBRARY).exists() {
        return record(PROMISE, "skipped: no libfaketime here", EXPECTED);
    }
    let folder = tempfile::tempdir().unwrap();
    let time = folder.path().join("time");
    let set = |offset: &str| std::fs::write(&time, offset).unwrap();
    set("+0");
    let file = time.display().to_string();
    let mcpd = Mcpd::in_folder(tempfile::tempdir().unwrap(), &fake_clock(&file)).await;
    let mut setup = publish(mcpd, FakeBackend::awake().await, &json!({"maxConcurrency": 2})).await;
    let for_a_day = setup.mcpd.make_token("ann", "infer", &["--expires-in-days", "1"]);
    setup.caller = for_a_day["token"].as_str().unwrap().to_owned();
    let body = scripted_chat("qwen", json!({"do": "count", "n": 99_999, "pauseMs": 10}));
    let mut response = setup.chat(&body).await;
    response.chunk().await.unwrap().unwrap();
    set("+2d");
    assert_eq!(setup.chat(&chat_body()).await.status(), 401);
    assert!(!read_stream(response).await.done, "its open stream ends too");
    set("+0");
    assert_eq!(setup.chat(&chat_body()).await.status(), 200);
    record(PROMISE, EXPECTED, EXPECTED);
}

#[tokio::test]
async fn setting_the_wall_clock_by_days_ends_nothing() {
    const PROMISE: &str = "the wall clock is set forward and back by two days";
    if !Path::new(LIBRARY).exists() {
        return record(PROMISE, "skipped: no libfaketime here", "nothing ends");
    }
    let folder = tempfile::tempdir().unwrap();
    let time = folder.path().join("time");
    let set = |offset: &str| std::fs::write(&time, offset).unwrap();
    set("+0");
    let file = time.display().to_string();
    let fake = fake_clock(&file);
    let mcpd = Mcpd::in_folder(tempfile::tempdir().unwrap(), &fake).await;
    let mut setup = publish(mcpd, FakeBackend::awake().await, &json!({})).await;
    setup.agent.process.stop().await;
    let token = [("MCPCTL_TOKEN", setup.publisher.as_str()), ("MCPCTL_TIME_SCALE", "0.1")];
    setup.agent = Agent::with_environment(&setup.home, &[&token[..], &fake].concat());
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    let registers = || setup.mcpd.process.stderr().matches("a publisher registered").count();
    for (offset, is_forward) in [("+2d", true), ("-2d", false), ("+0", true)] {
        let before = registers();
        set(offset);
        if is_forward {
            // To the agent, a jump forward is the end of a suspend: it registers again, and a request
            // that was just dispatched would be lost with the old channel.
            let registered = async || (registers() > before).then_some(());
            testkit::until("the agent registers again", registered).await;
        }
        setup.mcpd.until_active(&setup.caller, "qwen").await;
        // Two seconds: several sweeps, heartbeats and clock checks with the new time.
        for _ in 0..20 {
            let response = setup.chat(&chat_body()).await;
            let status = response.status();
            assert_eq!(status, 200, "at {offset}: {:?}", response.text().await);
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            setup.mcpd.until_active(&setup.caller, "qwen").await;
        }
    }
    assert!(
        setup.agent.process.exit_status().is_none() && setup.mcpd.process.exit_status().is_none()
    );
    record(PROMISE, "60 calls answered, still published", "nothing ends");
}
