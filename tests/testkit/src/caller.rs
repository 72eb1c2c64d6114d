//! The caller's side: requests with a script for the fake backend, forms, and reading of responses.

use bytes::Bytes;
use futures_util::StreamExt as _;
use reqwest::Response;
use serde_json::{Value, json};

/// A streamed response that was read to its end.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Streamed {
    /// The text of all deltas.
    pub text: String,
    /// True if `[DONE]` came.
    pub done: bool,
    /// Code of the error event, if there was one.
    pub error: Option<String>,
    /// True if the connection broke.
    pub broken: bool,
}

/// Reads a streamed response to its end.
///
/// # Panics
/// The status is not 200.
pub async fn read_stream(response: Response) -> Streamed {
    read_stream_with(response, || ()).await
}

/// As [`read_stream`]; calls `arrived` after each read.
///
/// # Panics
/// The status is not 200.
pub async fn read_stream_with(response: Response, mut arrived: impl FnMut()) -> Streamed {
    assert_eq!(response.status(), 200, "{:?}", response.text().await);
    let mut streamed = Streamed::default();
    let mut rest = String::new();
    let mut bytes = response.bytes_stream();
    while let Some(read) = bytes.next().await {
        arrived();
        match read {
            Err(_) => streamed.broken = true,
            Ok(read) => rest.push_str(std::str::from_utf8(&read).unwrap()),
        }
        while let Some((line, after)) = rest.split_once('\n') {
            add_line(&mut streamed, line);
            rest = after.to_owned();
        }
    }
    streamed
}

fn add_line(streamed: &mut Streamed, line: &str) {
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

/// The text " 1 2 3 …" up to `n`, as the fake backend's script `count` sends it.
#[must_use]
pub fn counted(n: u64) -> String {
    (1..=n).map(|at| format!(" {at}")).collect()
}

/// Body of a streamed chat with a script for the fake backend.
#[must_use]
pub fn scripted_chat(model: &str, script: Value) -> Value {
    json!({"model": model, "stream": true, "messages": [], "x_script": script})
}

/// The code in the body of an error response.
pub async fn error_code(response: Response) -> String {
    let body: Value = response.json().await.unwrap();
    body["error"]["code"].as_str().unwrap_or_default().to_owned()
}

/// `content-type` of [`form`].
pub const FORM: &str = "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxk";

/// A form whose parts have these parameters of `content-disposition` and these contents.
#[must_use]
pub fn form(parts: &[(&str, &[u8])]) -> Bytes {
    let boundary = FORM.split_once('=').unwrap().1;
    let mut body = Vec::new();
    for (parameters, content) in parts {
        let header = format!("Content-Disposition: form-data; {parameters}");
        body.extend_from_slice(format!("--{boundary}\r\n{header}\r\n\r\n").as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    body.into()
}

/// `n` bytes of every value in no order, the same each time.
#[must_use]
pub fn noise(n: usize) -> Bytes {
    let next = |x: &u32| Some(x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
    let numbers = std::iter::successors(Some(1_u32), next);
    numbers.map(|x| x.to_be_bytes()[0]).take(n).collect()
}
