//! What a caller makes of an answer.

use futures_util::StreamExt as _;
use reqwest::Response;
use serde_json::{Value, json};

/// A streamed answer, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Streamed {
    /// The text.
    pub text: String,
    /// It ended with `[DONE]`.
    pub done: bool,
    /// The code of an error event.
    pub error: Option<String>,
    /// The connection broke.
    pub broken: bool,
}

/// Reads a streamed answer to its end.
pub async fn read(response: Response) -> Streamed {
    assert_eq!(response.status(), 200, "{:?}", response.text().await);
    let mut streamed = Streamed::default();
    let mut rest = String::new();
    let mut bytes = response.bytes_stream();
    while let Some(piece) = bytes.next().await {
        match piece {
            Err(_) => streamed.broken = true,
            Ok(piece) => rest.push_str(std::str::from_utf8(&piece).unwrap()),
        }
        while let Some((line, after)) = rest.split_once('\n') {
            take(&mut streamed, line);
            rest = after.to_owned();
        }
    }
    streamed
}

fn take(streamed: &mut Streamed, line: &str) {
    let Some(data) = line.strip_prefix("data: ") else {
        return;
    };
    if data == "[DONE]" {
        streamed.done = true;
        return;
    }
    let event: Value = serde_json::from_str(data).unwrap();
    if let Some(code) = event.pointer("/error/code").and_then(Value::as_str) {
        streamed.error = Some(code.to_owned());
    }
    let content = event.pointer("/choices/0/delta/content").and_then(Value::as_str);
    streamed.text.push_str(content.unwrap_or_default());
}

/// The text that counts from 1 to `n`.
#[must_use]
pub fn counted(n: u64) -> String {
    (1..=n).map(|at| format!(" {at}")).collect()
}

/// A streamed chat body with a script for the scripted backend.
#[must_use]
pub fn scripted(model: &str, script: Value) -> Value {
    json!({"model": model, "stream": true, "messages": [], "x_script": script})
}

/// The code in an error's body.
pub async fn code(response: Response) -> String {
    let body: Value = response.json().await.unwrap();
    body["error"]["code"].as_str().unwrap_or_default().to_owned()
}
