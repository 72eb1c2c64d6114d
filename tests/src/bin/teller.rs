//! A backend that tells what it does: `teller PORT`. For a chat with `x_call`, `x_pieces` and
//! `x_pause` it streams so many pieces, each with the call's number and its own, and prints each step
//! with its time: the backend's log of a story.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a tool of the tests")]

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use futures_util::{StreamExt as _, stream};
use http::header;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpListener;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let port: u16 = std::env::args().nth(1).unwrap().parse().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let models = async || axum::Json(json!({"object": "list", "data": []}));
    let app =
        Router::new().route("/v1/models", get(models)).route("/v1/chat/completions", post(chat));
    println!("listening");
    axum::serve(listener, app).await.unwrap();
}

fn tell(fact: &str) {
    println!("{} {fact}", e2e::story::now());
}

/// Says that the connection closes, whatever way.
struct Open(u64);

impl Drop for Open {
    fn drop(&mut self) {
        tell(&format!("closes {}", self.0));
    }
}

async fn chat(body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap();
    let number = |key: &str| body[key].as_u64().unwrap();
    let (call, pieces) = (number("x_call"), number("x_pieces"));
    let pause = Duration::from_millis(number("x_pause"));
    tell(&format!("runs {call}"));
    let open = Open(call);
    let events = stream::iter(0..=pieces).then(move |piece| async move {
        tokio::time::sleep(pause).await;
        if piece == pieces {
            tell(&format!("finishes {call}"));
            return Ok::<_, std::io::Error>(Bytes::from_static(b"data: [DONE]\n\n"));
        }
        tell(&format!("writes {call} {piece}"));
        let choice = json!({"index": 0, "delta": {"content": format!("{call}:{piece} ")}});
        let event = json!({"object": "chat.completion.chunk", "choices": [choice]});
        Ok(format!("data: {event}\n\n").into())
    });
    let held = events.inspect(move |_| {
        let _while_sending = &open;
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(held)).into_response()
}
