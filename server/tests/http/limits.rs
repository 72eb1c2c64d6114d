//! Limits of sizes and times of requests.

use crate::server::{PATIENCE, Server};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends raw bytes and returns everything that comes back until the server closes.
async fn raw(server: &Server, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(server.url.trim_start_matches("http://")).await.unwrap();
    // The server may refuse before it has read everything.
    let _ = socket.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut answer)).await;
    let _ = read.expect("the server closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_body_over_64_mib_is_refused_by_its_announced_length_before_it_is_sent() {
    let server = Server::start().await;
    let token = server.token("ann", &["infer"]).await;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        (64 << 20) + 1
    );
    let answer = raw(&server, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("request_too_large"), "{answer}");
}

#[tokio::test]
async fn headers_over_64_kib_and_headers_that_never_end_are_refused() {
    let server = Server::start_scaled(0.02).await;
    // Exactly what the server reads: were more on its way, its answer could be lost in the reset.
    let head = "GET /healthz HTTP/1.1\r\nx: ";
    let large = format!("{head}{}", "y".repeat(64 * 1024 - head.len()));
    let answer = raw(&server, large.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    let never = raw(&server, b"GET /healthz HTTP/1.1\r\nhost: x\r\n").await;
    assert!(!never.contains("200 OK"), "{never}");
}

#[tokio::test]
async fn a_body_that_stops_half_way_is_refused() {
    let server = Server::start_scaled(0.02).await;
    let token = server.token("ann", &["infer"]).await;
    let half = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
         content-length: 100\r\nconnection: close\r\n\r\n{{\"model\""
    );
    let answer = raw(&server, half.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_malformed_request_is_refused_with_the_reason() {
    let server = Server::start().await;
    let token = server.token("ann", &["infer"]).await;
    let _publisher = server.publisher("qwen").await;
    for (path, body, status, word) in [
        ("/v1/chat/completions", &b"{}"[..], 400, "`model` is missing"),
        ("/v1/chat/completions", b"nonsense", 400, "JSON object"),
        ("/v1/chat/completions", b"{\"model\":\"\xff\"}", 400, ""),
        ("/v1/chat/completions", b"{\"model\":\"nope\"}", 404, "qwen"),
        ("/v1/nothing", b"{}", 404, "no such endpoint here: POST /v1/nothing"),
        ("/api/v1/llms/qwen", b"{}", 404, "no such endpoint here: POST /api/v1/llms/qwen"),
        ("/v1/models", b"{}", 405, "method"),
    ] {
        let answer = server.post(path, &token).body(body.to_vec()).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path}");
        let error: Value = answer.json().await.unwrap();
        let said = error["error"]["message"].as_str().or(error["detail"].as_str()).unwrap();
        assert!(said.contains(word), "{path}: {said}");
    }
}
