//! Responses on their way from a publisher to a caller.

use crate::server::{PATIENCE, Server};
use bytes::Bytes;
use serde_json::{Value, json};
use std::time::Duration;
use testkit::fake_publisher::FakePublisher;
use tokio::time::Instant;

const SSE: &str = "text/event-stream";

#[tokio::test]
async fn bytes_of_an_upload_reach_the_caller_unchanged_while_it_is_open() {
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

    let (pieces, upload) = publisher.upload(&task, SSE);
    let upload =
        upload.header("x-mcpctl-h-openai-version", "7").header("x-mcpctl-h-set-cookie", "no");
    let upload = tokio::spawn(upload.send());
    let odd = [&b"data: \xff\r"[..], b"\n\r\n", b"data: {\"a\": 1}\n", b"\n", b"data: [DONE]\n\n"];
    pieces.send(Ok(Bytes::from_static(odd[0]))).await.unwrap();
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
    for piece in &odd[1..] {
        pieces.send(Ok(Bytes::from_static(piece))).await.unwrap();
        assert_eq!(answer.chunk().await.unwrap().unwrap(), *piece);
    }
    drop(pieces);
    assert_eq!(answer.chunk().await.unwrap(), None);
    assert_eq!(upload.await.unwrap().unwrap().status(), 204);
    let again = publisher.upload(&task, SSE).1.send().await.unwrap();
    assert_eq!(again.status(), 404, "the task is over and forgotten");
}

#[tokio::test]
async fn a_backends_own_error_reaches_the_caller_unchanged() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    let body = "{\"error\": {\"message\": \"context too long\"}}";
    let upload = publisher.post(&wire::paths::task_response(&task));
    let upload = upload.header(wire::headers::STATUS, "400").header("x-mcpctl-h-retry-after", "3");
    upload.header("content-type", "application/json").body(body).send().await.unwrap();
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
        let upload = publisher.post(&wire::paths::task_response(&task));
        let upload = upload.header("content-type", "application/json").body("{\"n\": 1}");
        let taken = upload.send().await.unwrap();
        let answer = chat.await.unwrap().unwrap();
        assert_eq!(answer.content_length(), Some(8));
        assert_eq!(answer.text().await.unwrap(), "{\"n\": 1}");
        assert_eq!(taken.status(), 204, "nobody takes the caller for gone");
    }
}

#[tokio::test]
async fn a_response_of_known_length_that_breaks_off_is_broken_for_the_caller_too() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    let (pieces, upload) = publisher.upload(&task, "application/json");
    let upload = tokio::spawn(upload.header("content-length", "8").send());
    pieces.send(Ok(Bytes::from_static(b"{\"n"))).await.unwrap();
    let answer = chat.await.unwrap().unwrap();
    assert_eq!(answer.content_length(), Some(8));
    pieces.send(Err(std::io::ErrorKind::ConnectionReset.into())).await.unwrap();
    assert!(answer.text().await.is_err(), "half an answer is none");
    assert!(upload.await.unwrap().is_err());
}

#[tokio::test]
async fn a_caller_that_leaves_stops_the_upload_and_the_publisher_within_a_quarter_of_a_second() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    let (pieces, upload) = publisher.upload(&task, SSE);
    let upload = tokio::spawn(upload.send());
    pieces.send(Ok(Bytes::from_static(b"data: 1\n\n"))).await.unwrap();
    let mut answer = chat.await.unwrap().unwrap();
    answer.chunk().await.unwrap();
    let left = Instant::now();
    drop(answer);
    let (name, frame) = publisher.event().await;
    assert_eq!(
        (name.as_str(), &frame["taskId"], &frame["reason"]),
        ("cancel", &json!(task), &json!("caller_gone"))
    );
    let refused = tokio::time::timeout(PATIENCE, upload).await.unwrap().unwrap().unwrap();
    assert_eq!(refused.status(), 410);
    assert!(left.elapsed() < Duration::from_millis(250), "{:?}", left.elapsed());

    // The publisher says that its work has ended; the one slot is free for the next caller.
    let next = tokio::spawn(server.chat(&caller, "qwen").send());
    let stopped = json!({"error": {"message": "stopped", "code": "cancelled"}});
    assert_eq!(publisher.result(&task, &stopped).await.status(), 410);
    assert_ne!(publisher.task().await.0, task);
    next.abort();
    assert_eq!(publisher.event().await.0, "cancel", "also before the first byte");
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_event_and_other_formats_with_a_broken_connection()
{
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    for (kind, piece) in [(SSE, "data: {\"par"), ("application/json", "{\"par")] {
        let chat = tokio::spawn(server.chat(&caller, "qwen").send());
        let (task, _) = publisher.task().await;
        let (pieces, upload) = publisher.upload(&task, kind);
        let upload = tokio::spawn(upload.send());
        pieces.send(Ok(Bytes::from_static(piece.as_bytes()))).await.unwrap();
        let answer = chat.await.unwrap().unwrap();
        pieces.send(Err(std::io::Error::other("killed"))).await.unwrap();
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
        assert!(upload.await.unwrap().is_err());
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
async fn numbered_parts_are_taken_in_order_once_each_and_unchanged() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    let post = async |seq: &str, end: bool, text: &'static str| {
        let request = publisher.post(&wire::paths::task_response(&task));
        let request = request.header("content-type", SSE).header(wire::headers::SEQ, seq);
        let request = if end { request.header(wire::headers::END, "1") } else { request };
        let answer = request.body(text).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(post("one", false, "x").await.0, 400);
    assert_eq!(post("1", false, "early").await, (409, "{\"expected\":0}".into()));
    assert_eq!(post("0", false, "event: a\nda").await.0, 204);
    let foreign = server.token("eve", &["publish"]).await;
    let path = wire::paths::task_response(&task);
    for seq in ["0", "1", "7"] {
        let request = server.post(&path, &foreign).header(wire::headers::SEQ, seq);
        assert_eq!(request.body("x").send().await.unwrap().status(), 404, "piece {seq}");
    }
    let failed = json!({"error": {"message": "x"}});
    let path = wire::paths::task_result(&task);
    let request = server.post(&path, &foreign).json(&failed);
    assert_eq!(request.send().await.unwrap().status(), 404);
    assert_eq!(post("0", false, "again").await, (200, "{\"duplicate\":true}".into()));
    let mut answer = chat.await.unwrap().unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "event: a\nda", "at once");
    assert_eq!(post("1", true, "ta: 1\n\n").await.0, 204);
    assert_eq!(answer.text().await.unwrap(), "ta: 1\n\n");
    assert_eq!(post("2", true, "late").await.0, 404);
}

#[tokio::test]
async fn a_response_in_chunks_that_fails_ends_with_an_error_event() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    publisher.result(&task, &json!({"chunk": {"data": "1"}})).await;
    let failed = json!({"error": {"message": "gone", "code": "backend_aborted"}});
    publisher.result(&task, &failed).await;
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
    let (pieces, upload) = publisher.upload(&task, "application/json");
    drop(pieces);
    assert_eq!(upload.send().await.unwrap().status(), 204);
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
    let whole = json!({"status": 400, "body": {"error": {"message": "bad"}}});
    let (task, _) = publisher.task().await;
    publisher.result(&task, &whole).await;
    let mut said = String::new();
    while let Some(piece) = first.chunk().await.unwrap() {
        said.push_str(std::str::from_utf8(&piece).unwrap());
    }
    assert!(said.ends_with("data: {\"error\":{\"message\":\"bad\"}}\n\n"), "{said}");
    let (task, _) = publisher.task().await;
    publisher.result(&task, &whole).await;
    let second = second.await.unwrap().unwrap();
    assert_eq!(second.status(), 400, "without notices an error keeps its status");
}

#[tokio::test]
async fn a_caller_that_does_not_read_slows_only_its_own_upload_and_is_disconnected() {
    let server = Server::start_scaled(0.05).await;
    let caller = server.token("ann", &["infer"]).await;
    let token = server.token("mia", &["publish"]).await;
    let wish = json!({"protocol": 2, "providers": [{"name": "qwen", "maxConcurrency": 2}]});
    let mut publisher = FakePublisher::connect(&server.url, &token, &wish).await;
    let lazy = tokio::spawn(server.chat(&caller, "qwen").send());
    let (slow_task, _) = publisher.task().await;
    let (pieces, upload) = publisher.upload(&slow_task, SSE);
    let upload = tokio::spawn(upload.send());
    let mut sent = 0;
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    while let Ok(room) = tokio::time::timeout(Duration::from_millis(300), pieces.reserve()).await {
        room.unwrap().send(Ok(piece.clone()));
        sent += piece.len();
        assert!(sent < 64 << 20, "the upload must be held back");
    }
    let lazy = lazy.await.unwrap().unwrap();

    let quick = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    publisher.result(&task, &json!({"status": 200, "body": {}})).await;
    assert_eq!(quick.await.unwrap().unwrap().status(), 200);

    let (name, frame) = publisher.event().await;
    assert_eq!((name.as_str(), &frame["taskId"]), ("cancel", &json!(slow_task)));
    assert_eq!(upload.await.unwrap().unwrap().status(), 410);
    drop(lazy);
}
