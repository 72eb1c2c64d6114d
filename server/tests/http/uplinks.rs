//! Uplinks that are refused, broken or closed.

use crate::responses::SSE;
use crate::server::{PATIENCE, Server};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::fake_publisher::{FakePublisher, frame, ok};
use tokio::time::Instant;

#[tokio::test]
async fn an_uplink_of_no_session_of_its_key_is_refused() {
    let server = Server::start().await;
    let mut publisher = server.publisher("qwen").await;
    let own = publisher.session.clone();
    for session in ["0".repeat(32), "nonsense".into()] {
        publisher.session = session;
        // Nothing of its body has come.
        let ended = publisher.uplink().await.ended().await;
        assert!(ended.status == 404 && ended.text.contains("not_found"), "{ended:?}");
    }
    publisher.session = own;
    publisher.token = server.token("eve", &["publish"]).await;
    assert_eq!(publisher.uplink().await.ended().await.status, 404);
    publisher.token = server.token("mia", &["infer"]).await;
    assert_eq!(publisher.uplink().await.ended().await.status, 403);
    let token = server.token("mia", &["publish"]).await;
    let nameless = server.post(wire::paths::UPLINK, &token).body("").send().await.unwrap();
    assert_eq!(nameless.status(), 400);
}

#[tokio::test]
async fn bytes_that_are_no_frames_end_the_uplink_and_answers_go_on_in_the_next_one() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    let mut reserved = frame::end(&task);
    reserved[6] = 1;
    let cases = [
        vec![0xff, 0xff, 0xff, 0xff],
        65_537_u32.to_be_bytes().to_vec(),
        reserved,
        b"POST / HTTP/1.1\r\n\r\n".to_vec(),
    ];
    let mut offset = 0;
    for bytes in &cases {
        let mut uplink = publisher.uplink().await;
        // What stands before them counts.
        let head = if offset == 0 { frame::head(&task, &ok(SSE)) } else { Vec::new() };
        let before = [head, frame::data(&task, offset, b"data: 1\n\n")].concat();
        offset += 9;
        uplink.send([&before[..], bytes, &frame::end(&task)].concat()).await;
        let ended = uplink.ended().await;
        assert!(ended.status == 400 && ended.text.contains("frame"), "{bytes:?}: {ended:?}");
    }
    for cut in 1..frame::end(&task).len() {
        let inside = publisher.batch(frame::end(&task)[..cut].to_vec()).await;
        assert_eq!(inside.status(), 400, "an end inside a frame, after {cut} bytes");
    }
    publisher.batch(frame::end(&task)).await;
    let text = chat.await.unwrap().unwrap().text().await.unwrap();
    assert_eq!(text, "data: 1\n\n".repeat(cases.len()));
}

#[tokio::test]
async fn half_a_frame_for_ever_disturbs_nobody() {
    let server = Server::start_scaled(0.05).await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    let all = frame::answer(&task, &ok(SSE), b"data: 1\n\n");
    let mut uplink = publisher.uplink().await;
    uplink.send(frame::accepted(&task)).await;
    uplink.send(&all[..all.len() - 20]).await;

    // Another machine answers meanwhile, for longer than a request body may pause.
    let token = server.token("tom", &["publish"]).await;
    let wish = json!({"protocol": 2, "providers": [{"name": "other"}]});
    let mut other = FakePublisher::connect(&server.url, &token, &wish).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(900) {
        let chat = tokio::spawn(server.chat(&caller, "other").send());
        let (task, _) = other.task().await;
        other.answer(&task, &ok(SSE), b"data: 2\n\n").await;
        assert_eq!(chat.await.unwrap().unwrap().text().await.unwrap(), "data: 2\n\n");
    }
    // The other half comes late.
    uplink.send(&all[all.len() - 20..]).await;
    let answer = tokio::time::timeout(PATIENCE, chat).await.unwrap().unwrap().unwrap();
    assert_eq!(answer.text().await.unwrap(), "data: 1\n\n");
    assert_eq!(uplink.end().await.status, 204);
}

#[tokio::test]
async fn a_key_that_is_revoked_ends_its_uplink_while_the_body_flows() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let doomed = server.make_token("mia", &["publish"]).await;
    let other = server.token("mia", &["publish"]).await;
    let wish = json!({"protocol": 2, "providers": [{"name": "qwen"}]});
    let mut publisher = FakePublisher::connect(&server.url, &other, &wish).await;
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    publisher.token = doomed.token;
    let mut uplink = publisher.uplink().await;
    uplink.send(frame::head(&task, &ok(SSE))).await;
    let revoked = Instant::now();
    server.revoke_behind_its_back(&doomed.info.id).await;
    let mut offset = 0;
    let ended = loop {
        uplink.try_send(frame::data(&task, offset, b"data: 1\n\n")).await;
        offset += 9;
        let pause = Duration::from_millis(10);
        if let Ok(ended) = tokio::time::timeout(pause, uplink.ended()).await {
            break ended;
        }
        assert!(revoked.elapsed() < PATIENCE, "the uplink is open");
    };
    assert!(ended.status == 401 && ended.text.contains("invalid_api_key"), "{ended:?}");
    assert!(revoked.elapsed() < Duration::from_secs(1), "{:?}", revoked.elapsed());

    // The session goes on with another key of its user.
    publisher.token = other;
    let body = b"data: 1\n\n".repeat(offset / 9);
    publisher.answer(&task, &ok(SSE), &body).await;
    publisher.finished(&task).await;
    let text = chat.await.unwrap().unwrap().text().await.unwrap();
    assert_eq!(text.as_bytes(), body);
}

#[tokio::test]
async fn frames_of_other_machines_tasks_change_nothing() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut victim = server.publisher("qwen").await;
    let eve = server.token("eve", &["publish"]).await;
    let mia = server.token("mia", &["publish"]).await;
    let wish = |name: &str| json!({"protocol": 2, "providers": [{"name": name}]});
    let mut liars = [
        FakePublisher::connect(&server.url, &eve, &wish("eves")).await,
        // Another machine of the same user.
        FakePublisher::connect(&server.url, &mia, &wish("mias")).await,
    ];
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = victim.task().await;
    let failed = frame::failed(&task, &Value::Null);
    for liar in &mut liars {
        let lies = [
            frame::accepted(&task),
            frame::data(&task, 0, b"lie"),
            frame::frame(3, &task, 0, b""),
            frame::frame(2, &task, 0, b"nonsense"),
            frame::answer(&task, &ok(SSE), b"lie"),
            failed.clone(),
        ];
        assert_eq!(liar.batch(lies.concat()).await.status(), 204);
        liar.finished(&task).await;
    }
    let mut uplink = victim.uplink().await;
    uplink.send(frame::head(&task, &ok(SSE))).await;
    uplink.send(frame::data(&task, 0, b"data: 1\n\n")).await;
    let mut answer = chat.await.unwrap().unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "data: 1\n\n");
    for liar in &mut liars {
        let lies = [frame::data(&task, 9, b"lie"), frame::end(&task), failed.clone()];
        assert_eq!(liar.batch(lies.concat()).await.status(), 204);
        liar.finished(&task).await;
    }
    uplink.send([frame::data(&task, 9, b"data: 2\n\n"), frame::end(&task)].concat()).await;
    assert_eq!(answer.text().await.unwrap(), "data: 2\n\n");
    victim.finished(&task).await;
}
