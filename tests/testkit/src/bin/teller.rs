//! A backend that tells what it does: `teller PORT FOLDER`. For a chat with `x_call`, `x_pieces` and
//! `x_pause` it streams so many pieces, each with the call's number and its own, and prints each step
//! with its time: the backend's log of a story.
//!
//! Two files of the folder say how it is: without `awake` it sleeps, and without `open` it holds the
//! first piece of each answer back.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a tool of the tests")]

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use futures_util::{FutureExt as _, StreamExt as _, stream};
use http::{StatusCode, header};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// Between looks whether an answer may begin.
const LOOK: Duration = Duration::from_millis(10);

type Folder = State<Arc<PathBuf>>;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().unwrap().parse().unwrap();
    let folder = Arc::new(PathBuf::from(arguments.next().unwrap()));
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let app = Router::new()
        .route("/v1/models", get(models))
        .route("/v1/chat/completions", post(chat))
        .with_state(folder);
    println!("listening");
    axum::serve(listener, app).await.unwrap();
}

fn tell(fact: &str) {
    println!("{} {fact}", testkit::story::now());
}

async fn models(State(folder): Folder) -> Response {
    if folder.join("awake").exists() {
        return axum::Json(json!({"object": "list", "data": []})).into_response();
    }
    asleep()
}

fn asleep() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "asleep").into_response()
}

/// Says that the connection closes, whatever way.
struct Open(u64);

impl Drop for Open {
    fn drop(&mut self) {
        tell(&format!("closes {}", self.0));
    }
}

async fn chat(State(folder): Folder, body: Bytes) -> Response {
    if !folder.join("awake").exists() {
        return asleep();
    }
    let body: Value = serde_json::from_slice(&body).unwrap();
    let number = |key: &str| body[key].as_u64().unwrap();
    let (call, pieces) = (number("x_call"), number("x_pieces"));
    let pause = Duration::from_millis(number("x_pause"));
    tell(&format!("runs {call}"));
    let open = Open(call);
    let told = stream::iter(0..=pieces).then(move |piece| async move {
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
    let held = async move {
        // Whoever gives up drops this too.
        while !folder.join("open").exists() {
            tokio::time::sleep(LOOK).await;
        }
        told
    };
    let answer = held.flatten_stream().inspect(move |_| {
        let _while_sending = &open;
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(answer)).into_response()
}
