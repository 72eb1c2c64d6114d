//! Responses on their way from a publisher to a caller.

use crate::server::{PATIENCE, Server};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::fake_publisher::{FakePublisher, frame, ok};
use tokio::time::Instant;

pub(crate) const SSE: &str = "text/event-stream";
pub(crate) const JSON: &str = "application/json";

/// The head of a response that announces its length.
pub(crate) fn with_length(content_type: &str, length: usize) -> Value {
    let mut head = ok(content_type);
    head["contentLength"] = json!(length);
    head
}

#[tokio::test]
async fn bytes_of_an_answer_reach_the_caller_unchanged_while_it_arrives() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let chat = tokio::spawn(server.chat(&caller, "qwen").header("cookie", "secret").send());
    let (task, frame) = publisher.task().await;
    assert_eq!(frame["request"], json!({"model": "qwen", "stream": true, "messages": []}));
    assert_eq!(
        (&frame["path"], &frame["streaming"]),
        (&json!("/v1/chat/completions"), &json!(true))
    );
    assert!(!frame.to_string().contains("secret") && !frame.to_string().contains(&caller));

    let mut head = ok(SSE);
    head["headers"]["openai-version"] = json!("7");
    head["headers"]["set-cookie"] = json!("no");
    let odd = [&b"data: \xff\r"[..], b"\n\r\n", b"data: {\"a\": 1}\n", b"\n", b"data: [DONE]\n\n"];
    let mut uplink = publisher.uplink().await;
    uplink.send(frame::head(&task, &head)).await;
    uplink.send(frame::data(&task, 0, odd[0])).await;
    let mut answer = chat.await.unwrap().unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()),
        (200, SSE)
    );
    assert_eq!(answer.headers()["openai-version"], "7");
    assert!(
        !answer.headers().contains_key("set-cookie")
            && answer.headers().contains_key("x-request-id")
    );
    assert_eq!(answer.chunk().await.unwrap().unwrap(), odd[0], "before the next piece is sent");
    let mut offset = odd[0].len();
    for piece in &odd[1..] {
        uplink.send(frame::data(&task, offset, piece)).await;
        offset += piece.len();
        assert_eq!(answer.chunk().await.unwrap().unwrap(), *piece);
    }
    uplink.send(frame::end(&task)).await;
    assert_eq!(answer.chunk().await.unwrap(), None);
    publisher.finished(&task).await;
    uplink.send(frame::answer(&task, &ok(SSE), b"again")).await;
    publisher.finished(&task).await;
    assert_eq!(uplink.end().await.status, 204);
}

#[tokio::test]
async fn a_backends_own_error_reaches_the_caller_unchanged() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    let body = "{\"error\": {\"message\": \"context too long\"}}";
    let headers = json!({"content-type": "application/json", "retry-after": "3"});
    let head = json!({"status": 400, "headers": headers});
    publisher.answer(&task, &head, body.as_bytes()).await;
    let answer = chat.await.unwrap().unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["retry-after"]),
        (400, &"3".parse().unwrap())
    );
    assert_eq!(answer.text().await.unwrap(), body);
}

#[tokio::test]
async fn a_response_of_known_length_announces_it_and_is_complete_with_its_last_byte() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    for _ in 0..2 {
        let chat = tokio::spawn(server.chat(&caller, "qwen").send());
        let (task, _) = publisher.task().await;
        let mut uplink = publisher.uplink().await;
        uplink.send(frame::head(&task, &with_length(JSON, 8))).await;
        uplink.send(frame::data(&task, 0, b"{\"n\": 1}")).await;
        let answer = chat.await.unwrap().unwrap();
        assert_eq!(answer.content_length(), Some(8));
        assert_eq!(answer.text().await.unwrap(), "{\"n\": 1}");
        uplink.send(frame::end(&task)).await;
        publisher.finished(&task).await;
    }
    // Nobody took a caller for gone, and the slot is free.
    let _next = tokio::spawn(server.chat(&caller, "qwen").send());
    publisher.task().await;
}

#[tokio::test]
async fn a_response_of_known_length_that_breaks_off_is_broken_for_the_caller_too() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    let mut uplink = publisher.uplink().await;
    uplink.send(frame::head(&task, &with_length(JSON, 8))).await;
    uplink.send(frame::data(&task, 0, b"{\"n")).await;
    let answer = chat.await.unwrap().unwrap();
    assert_eq!(answer.content_length(), Some(8));
    publisher.fail(&task, "backend_aborted").await;
    assert!(answer.text().await.is_err(), "half an answer is none");
}

#[tokio::test]
async fn a_caller_that_leaves_stops_the_publisher_within_a_quarter_of_a_second() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    let mut uplink = publisher.uplink().await;
    uplink.send(frame::head(&task, &ok(SSE))).await;
    uplink.send(frame::data(&task, 0, b"data: 1\n\n")).await;
    let mut answer = chat.await.unwrap().unwrap();
    answer.chunk().await.unwrap();
    let left = Instant::now();
    drop(answer);
    let (name, event) = publisher.event().await;
    assert_eq!(
        (name.as_str(), &event["taskId"], &event["reason"]),
        ("cancel", &json!(task), &json!("caller_gone"))
    );
    assert!(left.elapsed() < Duration::from_millis(250), "{:?}", left.elapsed());

    // What still arrives is ignored, until the publisher says that its work has ended: then the one
    // slot is free for the next caller.
    let next = tokio::spawn(server.chat(&caller, "qwen").send());
    uplink.send(frame::data(&task, 9, b"data: 2\n\n")).await;
    uplink.send(frame::data(&task, 1 << 30, b"beyond")).await;
    uplink.send(frame::head(&task, &ok(SSE))).await;
    server.entry_where(&caller, "qwen", |entry| entry["queued"] == 1).await;
    uplink.send(frame::failed(&task, &json!({"message": "x", "code": "cancelled"}))).await;
    publisher.finished(&task).await;
    assert_ne!(publisher.task().await.0, task);
    next.abort();
    assert_eq!(publisher.event().await.0, "cancel", "also before the first byte");
}

#[tokio::test]
async fn a_whole_answer_that_comes_when_its_caller_has_left_gives_the_slot_back() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    chat.abort();
    assert_eq!(publisher.event().await.0, "cancel");
    publisher.answer(&task, &ok(SSE), b"data: 1\n\n").await;
    publisher.finished(&task).await;
    server.entry_where(&caller, "qwen", |entry| entry["inFlight"] == 0).await;
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_event_and_other_formats_with_a_broken_connection()
{
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    for (kind, piece) in [(SSE, "data: {\"par"), (JSON, "{\"par")] {
        let chat = tokio::spawn(server.chat(&caller, "qwen").send());
        let (task, _) = publisher.task().await;
        let mut uplink = publisher.uplink().await;
        uplink.send(frame::head(&task, &ok(kind))).await;
        uplink.send(frame::data(&task, 0, piece.as_bytes())).await;
        let answer = chat.await.unwrap().unwrap();
        uplink
            .send(frame::failed(&task, &json!({"message": "x", "code": "backend_aborted"})))
            .await;
        let text = tokio::time::timeout(PATIENCE, answer.text()).await.unwrap();
        if kind == SSE {
            let text = text.unwrap();
            let error = text.strip_prefix("data: {\"par\n\ndata: ").unwrap();
            let error: Value = serde_json::from_str(error.trim()).unwrap();
            assert_eq!(error["error"]["code"], "backend_aborted");
            assert!(!text.contains("[DONE]"));
        } else {
            text.unwrap_err();
        }
        publisher.finished(&task).await;
    }
}

#[tokio::test]
async fn a_publisher_of_protocol_1_gets_the_whole_body_and_answers_whole_or_in_chunks() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let token = server.token("mia", &["publish"]).await;
    let wish = json!({"providers": [{"name": "old", "type": "openai", "model": "backend/7b"}]});
    let mut publisher = FakePublisher::connect(&server.url, &token, &wish).await;
    assert_eq!(publisher.registered["protocol"], 1);

    let body = "{\"model\": \"old\",\r\r\n \"stream\": false, \"n\": 1.50}";
    let chat = server.post("/v1/chat/completions", &caller).body(body).send();
    let chat = tokio::spawn(chat);
    let (task, frame) = publisher.task().await;
    assert_eq!(frame["request"], json!({"model": "backend/7b", "stream": false, "n": 1.5}));
    let whole = json!({"status": 201, "body": {"text": "hi"}});
    assert_eq!(publisher.result(&task, &whole).await.status(), 204);
    let answer = chat.await.unwrap().unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.text().await.unwrap()),
        (201, "{\"text\":\"hi\"}".to_owned())
    );

    let infer = server.post("/api/v1/llms/old/infer", &caller).json(&json!({"stream": true}));
    let infer = tokio::spawn(infer.send());
    let (task, frame) = publisher.task().await;
    assert_eq!(frame["request"]["model"], "backend/7b");
    for (data, done) in [("{\"a\":\n1}", false), ("[DONE]", true)] {
        let chunk = json!({"chunk": {"data": data, "done": done}});
        assert_eq!(publisher.result(&task, &chunk).await.status(), 204);
    }
    let answer = infer.await.unwrap().unwrap();
    assert_eq!(answer.headers()["content-type"], SSE);
    assert_eq!(answer.text().await.unwrap(), "data: {\"a\":\ndata: 1}\n\ndata: [DONE]\n\n");
}

#[tokio::test]
async fn a_publisher_of_protocol_1_is_free_again_when_it_has_answered_a_caller_who_left() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let token = server.token("mia", &["publish"]).await;
    let request = json!({"providers": [{"name": "old", "type": "openai", "model": "m"}]});
    let mut publisher = FakePublisher::connect(&server.url, &token, &request).await;
    for result in [json!({"body": {"text": "hi"}}), json!({"chunk": {"data": "", "done": true}})] {
        let chat = tokio::spawn(server.chat(&caller, "old").send());
        let (task, _) = publisher.task().await;
        chat.abort();
        // A result before the server notices the departure would be delivered.
        assert_eq!(publisher.event().await.0, "cancel");
        assert_eq!(publisher.result(&task, &result).await.status(), 410);
        server.entry_where(&caller, "old", |entry| entry["inFlight"] == 0).await;
    }
}

#[tokio::test]
async fn a_publisher_of_protocol_1_gets_requests_of_the_chat_endpoint_only() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let token = server.token("mia", &["publish"]).await;
    let request = json!({"providers": [{"name": "old", "type": "openai", "model": "m"}]});
    let mut publisher = FakePublisher::connect(&server.url, &token, &request).await;
    let embed = server.post("/v1/embeddings", &caller).json(&json!({"model": "old", "input": "x"}));
    let answer = tokio::time::timeout(PATIENCE, embed.send()).await.unwrap().unwrap();
    assert_eq!(answer.status(), 400);
    let text = answer.text().await.unwrap();
    assert!(text.contains("takes /v1/chat/completions only, not /v1/embeddings"), "{text}");
    let _chat = tokio::spawn(server.chat(&caller, "old").send());
    assert_eq!(publisher.task().await.1["request"]["model"], "m", "its slot is free");
}

#[tokio::test]
async fn a_protocol_1_response_in_chunks_that_fails_ends_with_an_error_event() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let token = server.token("mia", &["publish"]).await;
    let wish = json!({"providers": [{"name": "old", "type": "openai", "model": "m"}]});
    let mut publisher = FakePublisher::connect(&server.url, &token, &wish).await;
    let chat = tokio::spawn(server.chat(&caller, "old").send());
    let (task, _) = publisher.task().await;
    publisher.result(&task, &json!({"chunk": {"data": "1"}})).await;
    publisher.result(&task, &json!({"error": {"message": "x", "code": "backend_aborted"}})).await;
    let text = chat.await.unwrap().unwrap().text().await.unwrap();
    assert!(
        text.starts_with("data: 1\n\ndata: {\"error\":") && text.contains("backend_aborted"),
        "{text}"
    );
}

#[tokio::test]
async fn a_large_request_body_is_fetched_unchanged_and_only_by_its_publisher() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let body = format!("{{\"model\":\"qwen\",\n \"picture\": \"{}\"}}", "x".repeat(3 << 20));
    let chat = tokio::spawn(server.post("/v1/embeddings", &caller).body(body.clone()).send());
    let (task, frame) = publisher.task().await;
    assert_eq!((&frame["bodyRef"], &frame["request"]), (&json!(true), &Value::Null));
    assert_eq!(frame["path"], "/v1/embeddings");

    let path = wire::paths::task_request(&task);
    let foreign = server.token("eve", &["publish"]).await;
    let other = wire::paths::task_request(&"0".repeat(32));
    for (path, token) in [(&path, &foreign), (&other, &publisher.token), (&other, &foreign)] {
        assert_eq!(server.get(path, token).send().await.unwrap().status(), 404);
    }
    let claimed = server.get(&path, &publisher.token).send().await.unwrap();
    assert!(claimed.bytes().await.unwrap() == body.as_bytes(), "every byte as it was");
    publisher.answer(&task, &ok(JSON), b"").await;
    assert_eq!(chat.await.unwrap().unwrap().text().await.unwrap(), "", "an empty answer is one");
}

#[tokio::test]
async fn a_hibernating_backend_is_woken_once_and_waiting_callers_get_notices() {
    let server = Server::start_scaled(0.02).await;
    let caller = server.token("ann", &["infer"]).await;
    let token = server.token("mia", &["publish"]).await;
    let provider =
        json!({"name": "qwen", "initialStatus": "hibernating", "wakeMaxWaitSeconds": 60});
    let wish = json!({"protocol": 2, "providers": [provider]});
    let mut publisher = FakePublisher::connect(&server.url, &token, &wish).await;
    let first = tokio::spawn(server.chat(&caller, "qwen").send());
    let (name, wake) = publisher.event().await;
    assert_eq!((name.as_str(), &wake["kind"]), ("task", &json!("wake")));
    let quiet = server.chat(&caller, "qwen").header(wire::headers::KEEPALIVE, "off");
    let second = tokio::spawn(quiet.send());
    let mut first = first.await.unwrap().unwrap();
    let notice = first.chunk().await.unwrap().unwrap();
    assert!(notice.starts_with(b": waking "), "{notice:?}");

    let woken = json!({"ok": true, "ms": 1200});
    publisher.result(wake["taskId"].as_str().unwrap(), &woken).await;
    let bad = json!({"error": {"message": "bad"}});
    let (task, _) = publisher.task().await;
    publisher.answer_json(&task, 400, &bad).await;
    let mut said = String::new();
    while let Some(piece) = first.chunk().await.unwrap() {
        said.push_str(std::str::from_utf8(&piece).unwrap());
    }
    assert!(said.ends_with("data: {\"error\":{\"message\":\"bad\"}}\n\n"), "{said}");
    let (task, _) = publisher.task().await;
    publisher.answer_json(&task, 400, &bad).await;
    let second = second.await.unwrap().unwrap();
    assert_eq!(second.status(), 400, "without notices an error keeps its status");
}
