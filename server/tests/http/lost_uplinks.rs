//! Answers that outlive the connections on which they arrive.

use crate::responses::SSE;
use crate::server::{PATIENCE, Server};
use reqwest::Response;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::fake_publisher::{FakePublisher, frame, ok};
use tokio::time::Instant;

const FIRST: &[u8] = b"data: 1\n\n";
const SECOND: &[u8] = b"data: 2\n\n";

/// An answer in four frames.
fn frames(task: &str) -> [Vec<u8>; 4] {
    [
        frame::head(task, &ok(SSE)),
        frame::data(task, 0, FIRST),
        frame::data(task, FIRST.len(), SECOND),
        frame::end(task),
    ]
}

fn whole() -> String {
    String::from_utf8([FIRST, SECOND].concat()).unwrap()
}

fn wish() -> Value {
    json!({"protocol": 2, "providers": [{"name": "qwen"}]})
}

/// A publisher that has sent the first part of an answer, its task, and the caller that has read it.
async fn half_answered(server: &Server) -> (FakePublisher, String, Response) {
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    let [head, first, ..] = frames(&task);
    assert_eq!(publisher.batch([head, first].concat()).await.status(), 204);
    let mut answer = chat.await.unwrap().unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), FIRST);
    (publisher, task, answer)
}

/// The rest of what a caller gets.
async fn rest(answer: Response) -> String {
    tokio::time::timeout(PATIENCE, answer.text()).await.expect("an end in time").unwrap()
}

#[tokio::test]
async fn an_answer_goes_on_after_its_uplink_was_lost_at_any_byte() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let length = frames(&"0".repeat(32)).concat().len();
    for at in 0..=length {
        // A reset may also take with it what the server has not read yet.
        let endings: &[bool] = if at % 7 == 0 { &[false, true] } else { &[false] };
        for is_reset in endings.iter().copied() {
            let chat = server.chat(&caller, "qwen").send();
            let chat = tokio::spawn(async { chat.await.unwrap().text().await.unwrap() });
            let (task, _) = publisher.task().await;
            let all = frames(&task).concat();
            let mut first = publisher.uplink().await;
            first.send(&all[..at]).await;
            if is_reset {
                first.reset();
            } else {
                first.cut().await;
            }
            // All of it again: the server takes what it does not have.
            let mut second = publisher.uplink().await;
            second.send(&all).await;
            assert_eq!(second.end().await.status, 204, "lost at {at}");
            publisher.finished(&task).await;
            let got = tokio::time::timeout(PATIENCE, chat).await.expect("an end in time").unwrap();
            assert_eq!(got, whole(), "lost at {at}, reset: {is_reset}");
        }
    }
}

#[tokio::test]
async fn an_uplink_that_ends_between_two_frames_goes_on_in_the_next_without_another_head() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    for frame in frames(&task) {
        assert_eq!(publisher.batch(frame).await.status(), 204);
    }
    assert_eq!(rest(chat.await.unwrap().unwrap()).await, whole());
    publisher.finished(&task).await;
}

#[tokio::test]
async fn a_newer_uplink_ends_the_older_one_and_answers_go_on_in_it() {
    let server = Server::start().await;
    let (mut publisher, task, answer) = half_answered(&server).await;
    let mut older = publisher.uplink().await;
    older.send(frame::accepted(&task)).await;
    let mut newer = publisher.uplink().await;
    let ended = older.ended().await;
    assert!(ended.status == 409 && ended.text.contains("superseded"), "{ended:?}");
    let [head, _, second, end] = frames(&task);
    newer.send([head, second, end].concat()).await;
    publisher.finished(&task).await;
    assert_eq!(rest(answer).await.as_bytes(), SECOND);
    assert_eq!(newer.end().await.status, 204);
}

#[tokio::test]
async fn an_answer_goes_on_after_a_register_that_names_it() {
    let server = Server::start().await;
    let (publisher, task, answer) = half_answered(&server).await;
    let _older = publisher.uplink().await;
    let unknown = "7".repeat(32);
    let mut publisher = publisher.register_again(&wish(), &[&task, &unknown]).await;
    let registered = &publisher.registered;
    assert_eq!(registered["resume"], json!([{"id": task, "offset": FIRST.len()}]));
    assert_eq!(registered["cancel"], json!([unknown]));
    let [head, _, second, end] = frames(&task);
    publisher.batch([head, second, end].concat()).await;
    publisher.finished(&task).await;
    assert_eq!(rest(answer).await.as_bytes(), SECOND);
}

#[tokio::test]
async fn an_answer_whose_head_has_not_come_resumes_at_its_first_byte() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    let publisher = publisher.register_again(&wish(), &[&task]).await;
    assert_eq!(publisher.registered["resume"], json!([{"id": task, "offset": 0}]));
    publisher.batch(frames(&task).concat()).await;
    assert_eq!(rest(chat.await.unwrap().unwrap()).await, whole());
}

#[tokio::test]
async fn a_register_that_does_not_name_an_answer_fails_it() {
    let server = Server::start().await;
    let (publisher, task, answer) = half_answered(&server).await;
    let mut publisher = publisher.register_again(&wish(), &[]).await;
    assert_eq!(publisher.registered["resume"], Value::Null);
    let text = rest(answer).await;
    assert_eq!(text.matches("publisher_lost").count(), 1, "{text}");
    // Its slot is free, and what still comes of it is over.
    publisher.batch(frames(&task).concat()).await;
    publisher.finished(&task).await;
    let caller = server.token("ann", &["infer"]).await;
    let _next = tokio::spawn(server.chat(&caller, "qwen").send());
    assert_ne!(publisher.task().await.0, task);
}

#[tokio::test]
async fn an_answer_that_is_lost_for_too_long_ends_with_one_error_and_its_slot_is_free() {
    tokio::join!(lose_an_answer(true), lose_an_answer(false));
}

async fn lose_an_answer(keeps_channel: bool) {
    let server = Server::start_scaled(0.05).await;
    let (publisher, task, answer) = half_answered(&server).await;
    let lost = Instant::now();
    let kept = keeps_channel.then_some(publisher);
    let text = rest(answer).await;
    assert_eq!(text.matches("publisher_lost").count(), 1, "{text}");
    assert!(!text.contains("[DONE]"), "{text}");
    let least = Duration::from_millis(if keeps_channel { 2_000 } else { 700 });
    assert!(lost.elapsed() >= least, "{:?} is too soon", lost.elapsed());
    if let Some(mut publisher) = kept {
        let (name, event) = publisher.event().await;
        assert_eq!((name.as_str(), &event["taskId"]), ("cancel", &json!(task)));
    }
    let reader = server.token("root", &["admin"]).await;
    server.entry_where(&reader, "qwen", |entry| entry["inFlight"] == 0).await;
}
