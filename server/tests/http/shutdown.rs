//! Shutdown of the server.

use crate::responses::SSE;
use crate::server::{PATIENCE, Server};
use mcpd::clock::WallClock;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use testkit::fake_publisher::{frame, ok};

#[tokio::test]
async fn a_server_that_shuts_down_refuses_new_work_and_waits_for_running_responses() {
    let mut server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let running = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    let mut uplink = publisher.uplink().await;
    uplink.send(frame::head(&task, &ok(SSE))).await;
    uplink.send(frame::data(&task, 0, b"data: 1\n\n")).await;
    let running = running.await.unwrap().unwrap();
    let waiting = tokio::spawn(server.chat(&caller, "qwen").send());
    server.entry_where(&caller, "qwen", |entry| entry["queued"] == 1).await;
    assert_eq!(server.get(wire::paths::READYZ, "").send().await.unwrap().status(), 200);

    server.shutdown.cancel();
    assert_eq!(publisher.event().await, ("drain".into(), json!({"reconnectAfterMs": 2000})));
    let waiting = waiting.await.unwrap().unwrap();
    assert_eq!(waiting.status(), 503);
    assert!(waiting.text().await.unwrap().contains("server_shutdown"));
    assert_eq!(server.get(wire::paths::READYZ, "").send().await.unwrap().status(), 503);
    assert_eq!(server.get(wire::paths::HEALTHZ, "").send().await.unwrap().status(), 200);
    let refused = server.chat(&caller, "qwen").send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));

    // An uplink that is opened now is as good as the one that was open.
    uplink.reset();
    let mut uplink = publisher.uplink().await;
    uplink.send(frame::head(&task, &ok(SSE))).await;
    uplink.send(frame::data(&task, 9, b"data: [DONE]\n\n")).await;
    uplink.send(frame::end(&task)).await;
    assert_eq!(running.text().await.unwrap(), "data: 1\n\ndata: [DONE]\n\n");
    assert_eq!(uplink.ended().await.status, 503);
    assert_eq!(publisher.event_or_end().await, None, "the channel ends");
    let ended = tokio::time::timeout(PATIENCE, &mut server.running).await;
    ended.expect("the server ends").unwrap().unwrap();
}

#[tokio::test]
async fn a_server_whose_background_task_ends_exits_with_an_error() {
    let broken = Arc::new(AtomicBool::new(false));
    let breaks = Arc::clone(&broken);
    // The token check reads the clock twice a second.
    let clock = WallClock::new(move || {
        assert!(!breaks.load(Ordering::Relaxed), "the test breaks it here");
        crate::server::unix_ms()
    });
    let mut server = Server::start_by(clock, tempfile::tempdir().unwrap(), 1.0).await;
    let url = format!("{}{}", server.url, wire::paths::HEALTHZ);
    assert_eq!(server.client.get(&url).send().await.unwrap().status(), 200);
    broken.store(true, Ordering::Relaxed);
    let ended = tokio::time::timeout(PATIENCE, &mut server.running).await;
    let error = ended.expect("the server ends").unwrap().unwrap_err().to_string();
    assert!(error.contains("ended unexpectedly") && error.contains("breaks it here"), "{error}");
}
