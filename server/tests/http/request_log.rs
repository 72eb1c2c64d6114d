//! The request log: one line per request of a caller, however it ends.

use crate::responses::{JSON, SSE};
use crate::server::{PATIENCE, Server};
use crate::windows::fill;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::caller::{FORM, form};
use testkit::fake_publisher::{FakePublisher, frame, ok};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// Text of prompts and responses, which must not be in the log.
const SECRET: &str = "the-moon-is-made-of-cheese";

/// The log of this thread, as long as it lives. Each test runs its server on its own thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Log {
    fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt().json().with_writer(log.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// The lines of finished requests.
    fn requests(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        assert!(!text.contains(SECRET), "{text}");
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let lines = lines.filter(|line| line["target"] == "mcpd::requests");
        lines.map(|line| line["fields"].clone()).collect()
    }

    /// The line that follows the first `before` ones, as soon as it is there, and no further one.
    async fn next(&self, before: usize) -> Value {
        let written = async {
            while self.requests().len() <= before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, written).await.expect("a line in time");
        let lines = self.requests();
        assert_eq!(lines.len(), before + 1, "{lines:?}");
        lines[before].clone()
    }
}

/// Asserts status and code of a line, and that it names the caller and never its key.
fn check(line: &Value, status: Option<u16>, code: Option<&str>) {
    assert_eq!(line["status"], json!(status), "{line}");
    assert_eq!(line["code"], json!(code), "{line}");
    assert_eq!(line["message"], "request finished");
    assert!(!line.to_string().contains("mcp_infer_"), "{line}");
    assert!(line["total_ms"].is_u64() && line["request"].is_string(), "{line}");
}

fn prompt(model: &str) -> Value {
    let messages = json!([{"role": "user", "content": SECRET}]);
    json!({"model": model, "stream": true, "messages": messages})
}

#[tokio::test]
async fn a_request_that_is_refused_has_one_line_with_status_and_code() {
    let (log, _guard) = Log::start();
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let publisher = server.token("mia", &["admin"]).await;
    let path = "/v1/chat/completions";

    let refused = server.client.post(format!("{}{path}", server.url)).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    let line = log.next(0).await;
    check(&line, Some(401), Some("invalid_api_key"));
    assert_eq!((&line["user"], &line["path"]), (&Value::Null, &json!(path)));

    let refused = server.post(path, &publisher).json(&prompt("qwen")).send().await.unwrap();
    assert_eq!(refused.status(), 403);
    let line = log.next(1).await;
    check(&line, Some(403), Some("forbidden"));
    assert_eq!(line["user"], "mia");

    let refused = server.post(path, &caller).json(&prompt("qwen")).header("x-request-id", "mine");
    assert_eq!(refused.send().await.unwrap().status(), 404);
    let line = log.next(2).await;
    check(&line, Some(404), Some("llm_not_found"));
    assert_eq!((&line["request"], &line["model"]), (&json!("mine"), &json!("qwen")));
    assert!(line["bytes_in"].as_u64().unwrap() > 50 && line["task"].is_null(), "{line}");

    let refused = server.post(path, &caller).body(SECRET).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    check(&log.next(3).await, Some(400), Some("invalid_request"));

    let other = server.get("/v1/models", &caller).send().await.unwrap();
    assert_eq!(other.status(), 200);
    assert_eq!(log.requests().len(), 4, "only requests to models have a line");
}

#[tokio::test]
async fn a_request_that_is_answered_has_one_line_with_its_times_bytes_and_tokens() {
    let (log, _guard) = Log::start();
    let server = Server::start().await;
    let caller = server.make_token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let chat = server.post("/v1/chat/completions", &caller.token).json(&prompt("qwen"));
    let chat = tokio::spawn(chat.send());
    let (task, _) = publisher.task().await;
    let end = "data: {\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":7}}\n\n";
    let answer = format!("data: {SECRET}\n\n{end}data: [DONE]\n\n");
    publisher.answer(&task, &ok(SSE), answer.as_bytes()).await;
    assert_eq!(chat.await.unwrap().unwrap().text().await.unwrap(), answer);

    let line = log.next(0).await;
    check(&line, Some(200), None);
    assert_eq!((&line["user"], &line["key"]), (&json!("ann"), &json!(caller.info.id)));
    assert_eq!((&line["model"], &line["task"]), (&json!("qwen"), &json!(task)));
    assert_eq!(line["publisher"], "mia/-");
    assert_eq!(line["bytes_out"], answer.len());
    assert_eq!((&line["prompt_tokens"], &line["completion_tokens"]), (&json!(5), &json!(7)));
    assert!(line["first_byte_ms"].as_u64().unwrap() <= line["total_ms"].as_u64().unwrap());
    assert_eq!((&line["queued_ms"], &line["waking_ms"]), (&json!(0), &json!(0)));

    // A whole answer of known length, and a backend's own error, are complete too.
    for (status, lines) in [(200, 1), (422, 2)] {
        let chat = tokio::spawn(server.chat(&caller.token, "qwen").send());
        let (task, _) = publisher.task().await;
        publisher.answer_json(&task, status, &json!({"text": SECRET})).await;
        assert_eq!(chat.await.unwrap().unwrap().status(), status);
        check(&log.next(lines).await, Some(status), None);
    }
}

#[tokio::test]
async fn a_form_has_the_line_of_any_request() {
    let (log, _guard) = Log::start();
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let file = ("name=\"file\"; filename=\"a.wav\"", SECRET.as_bytes());
    let body = form(&[file, ("name=\"model\"", b"qwen")]);
    let path = "/v1/audio/transcriptions";
    let call = server.post(path, &caller).header("content-type", FORM).body(body.clone());
    let call = tokio::spawn(call.send());
    let (task, _) = publisher.task().await;
    let answer = json!({"text": SECRET, "usage": {"input_tokens": 5, "output_tokens": 7}});
    publisher.answer_json(&task, 200, &answer).await;
    assert_eq!(call.await.unwrap().unwrap().status(), 200);
    let line = log.next(0).await;
    check(&line, Some(200), None);
    assert_eq!((&line["model"], &line["path"]), (&json!("qwen"), &json!(path)));
    assert_eq!(line["bytes_in"], body.len());
    assert_eq!((&line["prompt_tokens"], &line["completion_tokens"]), (&json!(5), &json!(7)));
}

#[tokio::test]
async fn a_request_that_fails_at_its_publisher_has_one_line_with_the_failure() {
    let (log, _guard) = Log::start();
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    // Before the first byte.
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    publisher.fail(&task, "stopped_by_owner").await;
    let status = chat.await.unwrap().unwrap().status();
    check(&log.next(0).await, Some(status.as_u16()), Some("stopped_by_owner"));
    // After it: in a stream, and in a format that cannot carry an error.
    for (kind, lines) in [(SSE, 1), (JSON, 2)] {
        let chat = tokio::spawn(server.chat(&caller, "qwen").send());
        let (task, _) = publisher.task().await;
        let begun = [frame::head(&task, &ok(kind)), frame::data(&task, 0, SECRET.as_bytes())];
        publisher.batch(begun.concat()).await;
        let answer = chat.await.unwrap().unwrap();
        publisher.fail(&task, "backend_aborted").await;
        let _ = answer.text().await;
        let line = log.next(lines).await;
        check(&line, Some(200), Some("backend_aborted"));
        assert!(line["bytes_out"].as_u64().unwrap() >= SECRET.len() as u64, "{line}");
    }
}

#[tokio::test]
async fn a_request_whose_caller_leaves_has_one_line_whenever_it_leaves() {
    let (log, _guard) = Log::start();
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    publisher.task().await;
    chat.abort();
    assert_eq!(publisher.event().await.0, "cancel");
    let line = log.next(0).await;
    check(&line, None, Some("caller_gone"));
    assert_eq!(line["publisher"], "mia/-");

    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    publisher
        .batch([frame::head(&task, &ok(SSE)), frame::data(&task, 0, b"data: 1\n\n")].concat())
        .await;
    let mut answer = chat.await.unwrap().unwrap();
    answer.chunk().await.unwrap();
    drop(answer);
    let line = log.next(1).await;
    check(&line, Some(200), Some("caller_gone"));
    assert_eq!(line["bytes_out"], 9);
}

#[tokio::test]
async fn a_request_whose_caller_does_not_read_has_one_line() {
    let (log, _guard) = Log::start();
    let server = Server::start_scaled(0.02).await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    let mut uplink = publisher.uplink().await;
    fill(&mut publisher, &mut uplink, &task).await;
    let unread = chat.await.unwrap().unwrap();
    check(&log.next(0).await, Some(200), Some("slow_consumer"));
    drop(unread);
}

#[tokio::test]
async fn a_request_whose_key_is_revoked_has_one_line() {
    let (log, _guard) = Log::start();
    let server = Server::start().await;
    let mut publisher = server.publisher("qwen").await;
    // While it waits, and while its response is sent.
    for lines in [0, 1] {
        let caller = server.make_token("ann", &["infer"]).await;
        let chat = tokio::spawn(server.chat(&caller.token, "qwen").send());
        let (task, _) = publisher.task().await;
        let begun = if lines == 1 { &b"data: 1\n\n"[..] } else { b"" };
        publisher
            .batch([frame::head(&task, &ok(SSE)), frame::data(&task, 0, begun)].concat())
            .await;
        server.revoke_behind_its_back(&caller.info.id).await;
        let response = chat.await.unwrap().unwrap();
        let status = response.status().as_u16();
        assert_eq!(status, if lines == 0 { 401 } else { 200 });
        let _ = response.text().await;
        check(&log.next(lines).await, Some(status), Some("invalid_api_key"));
        assert_eq!(publisher.event().await.0, "cancel");
        // The slot is free once the publisher reports that its work has ended.
        publisher.fail(&task, "cancelled").await;
    }
}

#[tokio::test]
async fn the_wait_for_a_wake_and_the_wait_in_the_queue_are_told_apart() {
    let (log, _guard) = Log::start();
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let token = server.token("mia", &["publish"]).await;
    let provider = json!({"name": "qwen", "initialStatus": "hibernating", "maxConcurrency": 1});
    let wish = json!({"protocol": 2, "providers": [provider]});
    let mut publisher = FakePublisher::connect(&server.url, &token, &wish).await;
    let first = tokio::spawn(server.chat(&caller, "qwen").send());
    let (_, wake) = publisher.event().await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    let woken = json!({"ok": true, "ms": 60});
    publisher.result(wake["taskId"].as_str().unwrap(), &woken).await;
    let (task, _) = publisher.task().await;
    let second = tokio::spawn(server.chat(&caller, "qwen").send());
    server.entry_where(&caller, "qwen", |entry| entry["queued"] == 1).await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    publisher.answer_json(&task, 200, &json!({})).await;
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
    let line = log.next(0).await;
    assert!(line["waking_ms"].as_u64().unwrap() >= 60 && line["queued_ms"] == 0, "{line}");
    let (task, _) = publisher.task().await;
    publisher.answer_json(&task, 200, &json!({})).await;
    assert_eq!(second.await.unwrap().unwrap().status(), 200);
    let line = log.next(1).await;
    assert!(line["queued_ms"].as_u64().unwrap() >= 60 && line["waking_ms"] == 0, "{line}");
}
