//! Clean and broken ends of connections.

use crate::responses::JSON;
use crate::server::{PATIENCE, Server};
use serde_json::json;
use std::io::ErrorKind;
use testkit::fake_publisher::{FakePublisher, frame, ok};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A chat as an old proxy asks for it: the end of the connection is the end of the answer.
async fn old_chat(server: &Server, key: &str) -> TcpStream {
    let body = json!({"model": "qwen", "messages": []}).to_string();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.0\r\nauthorization: Bearer {key}\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let address = server.url.trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    socket
}

/// The received bytes, and how the connection ended.
async fn to_end(mut socket: TcpStream) -> (String, Result<(), ErrorKind>) {
    let mut all = Vec::new();
    let read = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut all)).await;
    let ended = read.expect("the server closes").map(drop).map_err(|error| error.kind());
    (String::from_utf8(all).unwrap(), ended)
}

#[tokio::test]
async fn a_broken_response_ends_with_a_reset_and_a_whole_one_with_a_close() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    for breaks in [true, false] {
        let socket = old_chat(&server, &caller).await;
        let (task, _) = publisher.task().await;
        let mut uplink = publisher.uplink().await;
        uplink.send(frame::head(&task, &ok(JSON))).await;
        uplink.send(frame::data(&task, 0, b"{\"half\":")).await;
        // The first half is on its way before the rest follows or does not.
        let mut first = [0; 1024];
        let begun = async {
            let mut said = String::new();
            while !said.contains("half") {
                socket.readable().await.unwrap();
                if let Ok(read) = socket.try_read(&mut first) {
                    assert!(read > 0, "closed after {said}");
                    said.push_str(std::str::from_utf8(&first[..read]).unwrap());
                }
            }
            said
        };
        let begun = tokio::time::timeout(PATIENCE, begun).await.unwrap();
        assert!(begun.contains(" 200 OK"), "{begun}");
        let rest = if breaks {
            frame::failed(&task, &json!({"message": "x", "code": "backend_aborted"}))
        } else {
            [frame::data(&task, 8, b"1}"), frame::end(&task)].concat()
        };
        uplink.send(rest).await;
        let (rest, ended) = to_end(socket).await;
        let expected = if breaks { Err(ErrorKind::ConnectionReset) } else { Ok(()) };
        assert_eq!(ended, expected, "{rest}");
    }
}

#[tokio::test]
async fn a_response_that_is_cut_by_the_shutdown_ends_with_a_reset() {
    let server = Server::start_scaled(0.02).await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let socket = old_chat(&server, &caller).await;
    let (task, _) = publisher.task().await;
    let mut uplink = publisher.uplink().await;
    uplink.send(frame::head(&task, &ok(JSON))).await;
    uplink.send(frame::data(&task, 0, b"{\"half\":")).await;
    let reads = tokio::spawn(to_end(socket));
    let reader = server.token("root", &["admin"]).await;
    server.entry_where(&reader, "qwen", |entry| entry["inFlight"] == 1).await;
    server.shutdown.cancel();
    let (said, ended) = reads.await.unwrap();
    assert_eq!(ended, Err(ErrorKind::ConnectionReset), "{said}");
    assert_eq!(uplink.ended().await.status, 503);
}

#[tokio::test]
async fn a_key_that_is_sent_twice_is_refused() {
    let server = Server::start().await;
    let (good, other) = (server.token("ann", &["infer"]).await, "mcp_infer_x");
    for name in ["authorization", "x-api-key"] {
        for keys in [[&good[..], other], [other, &good], [&good, &good]] {
            let mut request = server.client.get(format!("{}/v1/models", server.url));
            for key in keys {
                let bearer = format!("Bearer {key}");
                let value = if name == "authorization" { &bearer } else { key };
                request = request.header(name, value);
            }
            assert_eq!(request.send().await.unwrap().status(), 400, "{name} {keys:?}");
        }
    }
}

#[tokio::test]
async fn a_browser_never_runs_a_publishers_response_as_a_page() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let mut publisher = server.publisher("qwen").await;
    let chat = tokio::spawn(server.chat(&caller, "qwen").send());
    let (task, _) = publisher.task().await;
    publisher.answer(&task, &ok("text/html"), b"<script>1</script>").await;
    let answer = chat.await.unwrap().unwrap();
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    let policy = answer.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("sandbox"), "{policy}");
    let refused = server.client.get(&server.url).send().await.unwrap();
    assert_eq!(refused.headers()["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn a_header_that_is_too_long_to_be_passed_on_is_refused_by_name() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let _publisher = server.publisher("qwen").await;
    for (value, refused) in [("\"".repeat(1_000), false), ("\"".repeat(1_024), true)] {
        let chat = server.chat(&caller, "qwen").header("anthropic-beta", &value);
        let chat = tokio::spawn(chat.send());
        if refused {
            let answer = chat.await.unwrap().unwrap();
            assert_eq!(answer.status(), 431);
            assert!(answer.text().await.unwrap().contains("the header anthropic-beta has"));
        } else {
            server.entry_where(&caller, "qwen", |entry| entry["inFlight"] == 1).await;
            chat.abort();
        }
    }
}

#[tokio::test]
async fn a_body_that_a_protocol_1_publisher_cannot_take_fails_with_an_error() {
    let server = Server::start().await;
    let caller = server.token("ann", &["infer"]).await;
    let token = server.token("mia", &["publish"]).await;
    let wish = json!({"providers": [{"name": "old", "type": "openai", "model": "m"}]});
    let mut publisher = FakePublisher::connect(&server.url, &token, &wish).await;
    let body = "{\"model\": \"old\", \"n\": tru}";
    let answer = server.post("/v1/chat/completions", &caller).body(body).send();
    let answer = tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap();
    assert_eq!(answer.status(), 400);
    let said = answer.text().await.unwrap();
    assert!(said.contains("takes valid JSON only") && said.contains("column"), "{said}");
    // The channel goes on, and the slot is free.
    let good = server.post("/v1/chat/completions", &caller).body("{\"model\": \"old\"}");
    let _good = tokio::spawn(good.send());
    assert_eq!(publisher.task().await.1["request"], json!({"model": "m"}));
}
