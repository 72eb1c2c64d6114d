//! A wall clock that is set by days while everybody works.

use crate::publish;
use e2e::agent::Agent;
use e2e::backend::Backend;
use e2e::figure::figure;
use e2e::mcpd::Mcpd;
use e2e::world::whole;
use serde_json::json;
use std::path::Path;

const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

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
    let fake = [
        ("LD_PRELOAD", LIBRARY),
        ("FAKETIME_TIMESTAMP_FILE", file.as_str()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
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
