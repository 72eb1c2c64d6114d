//! Limits of request bodies: memory, time, and fairness.

use crate::server::{PATIENCE, Server};
use bytes::Bytes;
use mcpd::config::Serving;
use reqwest::{Body, Response};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

const MIB: usize = 1 << 20;

/// A connection for requests that no client library would send.
struct Raw(TcpStream);

impl Raw {
    async fn to(server: &Server) -> Self {
        let address = server.url.trim_start_matches("http://");
        Self(TcpStream::connect(address).await.unwrap())
    }

    async fn says(&mut self, bytes: &[u8]) {
        // The server may have refused already.
        let _ = self.0.write_all(bytes).await;
    }

    /// Everything that comes back until the server closes.
    async fn hears(&mut self) -> String {
        let mut answer = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut answer)).await;
        read.expect("the server answers and closes").unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

/// The head of a request with a body of this length.
fn post(path: &str, token: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
         content-length: {length}\r\n\r\n"
    )
}

/// A chat with so many bytes.
fn chat_of(model: &str, bytes: usize) -> String {
    format!("{{\"model\":\"{model}\",\"x\":\"{}\"}}", "x".repeat(bytes))
}

async fn code(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let error: Value = answer.json().await.unwrap();
    let code = error["error"]["code"].as_str().or(error["code"].as_str());
    (status, code.unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_request_is_refused_before_the_rest_of_its_body_is_sent() {
    let server = Server::start().await;
    let _publisher = server.publisher("qwen").await;
    let (all, other) =
        (server.token("ann", &["infer"]).await, server.token("ann", &["infer:other"]).await);
    let begin = |model: &str| format!("{{\"messages\":[],\"model\":\"{model}\",\"x\":\"");
    for (path, key, body, status, word) in [
        ("/v1/chat/completions", &all, begin("nope"), 404, "llm_not_found"),
        ("/v1/chat/completions", &other, begin("qwen"), 404, "llm_not_found"),
        ("/api/v1/llms/nope/infer", &all, String::new(), 404, "llm_not_found"),
        ("/v1/chat/completions", &all, "{\"MODEL\":1".into(), 400, "could be taken for"),
        ("/v1/chat/completions", &all, "[1,".into(), 400, "JSON object"),
    ] {
        let mut raw = Raw::to(&server).await;
        raw.says(post(path, key, 60 * MIB).as_bytes()).await;
        raw.says(body.as_bytes()).await;
        let answer = raw.hears().await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path} {body}: {answer}");
        assert!(answer.contains(word) && answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test]
async fn a_full_queue_is_reported_before_the_rest_of_the_body_is_sent() {
    let server = Server::start().await;
    let mut publisher = server.publisher("qwen").await;
    let caller = server.token("ann", &["infer"]).await;
    let mut waiting = Vec::new();
    for _ in 0..101 {
        waiting.push(tokio::spawn(server.chat(&caller, "qwen").send()));
    }
    publisher.task().await;
    server.entry_where(&caller, "qwen", |entry| entry["queued"] == 100).await;
    let mut raw = Raw::to(&server).await;
    raw.says(post("/v1/chat/completions", &caller, 60 * MIB).as_bytes()).await;
    raw.says(b"{\"model\":\"qwen\",\"x\":\"").await;
    let answer = raw.hears().await;
    assert!(answer.starts_with("HTTP/1.1 429") && answer.contains("queue_full"), "{answer}");
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn a_publishers_large_bodies_for_a_task_that_is_not_its_own_are_refused_unread() {
    let server = Server::start().await;
    let mut publisher = server.publisher("qwen").await;
    let (caller, eve) =
        (server.token("ann", &["infer"]).await, server.token("eve", &["publish"]).await);
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    let unknown = "0".repeat(32);
    for (task, key) in [(&task, &eve), (&unknown, &eve), (&unknown, &publisher.token)] {
        let mut raw = Raw::to(&server).await;
        raw.says(post(&wire::paths::task_result(task), key, 59 * MIB).as_bytes()).await;
        let answer = raw.hears().await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
    // Nobody waits for the answer of a task that has ended: only its end may still be told.
    chat.abort();
    assert_eq!(publisher.event().await.0, "cancel");
    let mut raw = Raw::to(&server).await;
    let result = wire::paths::task_result(&task);
    raw.says(post(&result, &publisher.token, 59 * MIB).as_bytes()).await;
    let answer = raw.hears().await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let ended = json!({"error": {"message": "x", "code": "cancelled"}});
    assert_eq!(publisher.result(&task, &ended).await.status(), 410);
}

fn small() -> Serving {
    Serving { body_budget: 3 * MIB, body_share: MIB, ..Serving::default() }
}

#[tokio::test]
async fn waiting_bodies_count_against_their_keys_share_until_the_first_byte_of_the_response() {
    let server = Server::serving(small()).await;
    let mut publisher = server.publisher("qwen").await;
    let (ann, tom) = (server.token("ann", &["infer"]).await, server.token("tom", &["infer"]).await);
    let send = |key: &str, bytes: usize| {
        server.post("/v1/chat/completions", key).body(chat_of("qwen", bytes)).send()
    };
    let first = tokio::spawn(send(&ann, 600 << 10));
    let (task, _) = publisher.task().await;
    let waiting = tokio::spawn(send(&ann, 300 << 10));
    server.entry_where(&ann, "qwen", |entry| entry["queued"] == 1).await;

    let refused = send(&ann, 300 << 10).await.unwrap();
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(code(refused).await, (429, "body_budget".into()));
    let beyond = send(&ann, MIB).await.unwrap();
    assert_eq!(code(beyond).await, (413, "request_too_large".into()), "it would never fit");
    let others = tokio::spawn(send(&tom, 300 << 10));
    server.entry_where(&ann, "qwen", |entry| entry["queued"] == 2).await;

    publisher.answer_json(&task, 200, &json!({})).await;
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
    let again = tokio::spawn(send(&ann, 500 << 10));
    server.entry_where(&ann, "qwen", |entry| entry["queued"] == 2 && entry["inFlight"] == 1).await;
    for task in [waiting, others, again] {
        task.abort();
    }
    server.entry_where(&ann, "qwen", |entry| entry["queued"] == 0).await;
}

#[tokio::test]
async fn all_keys_together_hold_at_most_the_budget_and_a_slow_body_only_what_has_arrived() {
    let server = Server::serving(small()).await;
    let _publisher = server.publisher("qwen").await;
    let mut drips = Vec::new();
    for user in ["a", "b", "c"] {
        let key = server.token(user, &["infer"]).await;
        let mut raw = Raw::to(&server).await;
        raw.says(post("/v1/chat/completions", &key, MIB).as_bytes()).await;
        let part = &chat_of("qwen", MIB)[..MIB - 100];
        raw.says(part.as_bytes()).await;
        drips.push(raw);
    }
    let key = server.token("d", &["infer"]).await;
    let full = async || {
        let answer = server.post("/v1/chat/completions", &key).body(chat_of("nope", 100 << 10));
        code(answer.send().await.unwrap()).await
    };
    let began = Instant::now();
    while full().await != (429, "body_budget".into()) {
        assert!(began.elapsed() < PATIENCE, "the drips have not filled the budget");
    }
    drips.pop();
    while full().await != (404, "llm_not_found".into()) {
        assert!(began.elapsed() < PATIENCE, "what a caller that left held is not given back");
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_that_exceeds_the_budget_is_refused_with_an_error() {
    let server = Server::serving(small()).await;
    let _publisher = server.publisher("qwen").await;
    let key = server.token("ann", &["infer"]).await;
    let held = server.post("/v1/chat/completions", &key).body(chat_of("qwen", 600 << 10));
    let held = tokio::spawn(held.send());
    server.entry_where(&key, "qwen", |entry| entry["inFlight"] == 1).await;
    let piece = Bytes::from(vec![b'x'; 64 << 10]);
    let begin = Bytes::from_static(b"{\"model\":\"qwen\",\"x\":\"");
    let pieces = std::iter::once(begin).chain(std::iter::repeat_n(piece, 1_000));
    let body = Body::wrap_stream(tokio_stream::iter(pieces.map(Ok::<_, std::io::Error>)));
    let answer = server.post("/v1/chat/completions", &key).body(body).send().await.unwrap();
    assert_eq!(code(answer).await, (429, "body_budget".into()));
    held.abort();
}

#[tokio::test]
async fn a_slow_body_is_refused_after_its_total_time() {
    // 10 s are 1 s here, and a pause may take 1.5 s.
    let server = Server::start_scaled(0.1).await;
    let key = server.token("ann", &["infer"]).await;
    let publisher = server.token("mia", &["publish"]).await;
    let pair =
        format!("POST {} HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n", wire::paths::PAIR);
    for head in [
        post("/v1/chat/completions", &key, 500),
        post(wire::paths::REGISTER, &publisher, 500),
        pair,
    ] {
        let mut raw = Raw::to(&server).await;
        raw.says(head.as_bytes()).await;
        raw.says(b"{\"").await;
        let (mut read, mut write) = raw.0.split();
        let mut answer = Vec::new();
        let drips = async {
            loop {
                let _ = write.write_all(b"x").await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            read = tokio::time::timeout(PATIENCE, read.read_to_end(&mut answer)) => {
                // Without its key a connection may be closed before its request has an answer.
                let _closed = read.expect("the drip is given up");
            }
            () = drips => {}
        }
        let answer = String::from_utf8_lossy(&answer);
        let is_pair = head.contains(wire::paths::PAIR);
        assert!(answer.starts_with("HTTP/1.1 408") || is_pair, "{head}: {answer}");
    }
}

#[tokio::test]
async fn an_endpoint_without_a_key_takes_at_most_a_kilobyte() {
    let server = Server::start().await;
    let pair = async |bytes: usize| {
        let body = json!({"code": "A".repeat(bytes)}).to_string();
        server.client.post(format!("{}{}", server.url, wire::paths::PAIR)).body(body).send().await
    };
    assert_eq!(pair(900).await.unwrap().status(), 404);
    assert_eq!(pair(1100).await.unwrap().status(), 413);
}

#[tokio::test]
async fn a_heartbeat_or_register_with_more_entries_than_one_owner_can_have_is_refused() {
    let server = Server::start().await;
    let publisher = server.publisher("qwen").await;
    let beat = async |llms: usize, tasks: usize| {
        let report = json!({"name": "qwen", "status": "active"});
        let beat = json!({
            "providerSessionId": publisher.session,
            "llms": vec![report; llms],
            "inflight": vec!["0".repeat(32); tasks],
        });
        let answer = server.post(wire::paths::HEARTBEAT, &publisher.token).json(&beat).send().await;
        answer.unwrap().status().as_u16()
    };
    assert_eq!(beat(20, 5_120).await, 200);
    assert_eq!(beat(21, 0).await, 400);
    assert_eq!(beat(0, 5_121).await, 400);
    assert_eq!(beat(0, 8_000).await, 413);
    let register = json!({"providers": [], "inflight": vec!["0".repeat(32); 5_121]});
    let answer = server.post(wire::paths::REGISTER, &publisher.token).json(&register).send().await;
    assert_eq!(answer.unwrap().status(), 400);
}
