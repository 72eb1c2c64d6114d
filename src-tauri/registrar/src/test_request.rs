//! "Try it": one short question to a published model, the way a caller asks, through mcpd. The answer
//! is for the person who asked and is kept nowhere.

use crate::credentials;
use crate::home::Home;
use crate::limits::TRY_BODY;
use crate::mcpd_client::McpdClient;
use crate::{config, config::file};
use client::response;
use keychain::Keychain;
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// What is asked.
const QUESTION: &str = "Say hello in five words.";
/// The longest answer.
const TOKENS: u32 = 48;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "bindings", derive(ts_rs::TS))]
pub struct TestResponse {
    /// The answer.
    pub answer: String,
    /// From question to answer, in milliseconds.
    #[cfg_attr(feature = "bindings", ts(type = "number"))]
    pub ms: u64,
}

/// Asks a published model through the server, with the token that publishes.
///
/// # Errors
/// Why there is no answer, for people.
pub async fn send(
    home: &Home,
    keychain: &Keychain,
    model: &str,
    at_most: Duration,
) -> Result<TestResponse, String> {
    let text = file::read(&home.config()).map_err(|error| error.to_string())?;
    let config = config::parse(&text).map_err(|problem| problem.message)?.config;
    let loaded = credentials::load(home, config.mcpd_url.as_ref(), keychain).await;
    let loaded = loaded.map_err(|error| error.to_string())?;
    let mcpd = McpdClient::new(loaded).map_err(|error| error.to_string())?;
    let question = json!({
        "model": model,
        "max_tokens": TOKENS,
        "messages": [{"role": "user", "content": QUESTION}],
    });
    let began = Instant::now();
    let response = mcpd.chat(&question, at_most).await.map_err(|fault| fault.to_string())?;
    let body = response::read_body(response, TRY_BODY).await.map_err(|why| why.to_string())?;
    let body: Value = serde_json::from_slice(&body)
        .map_err(|_| "the answer is not of the kind that was expected".to_owned())?;
    let answer = body.pointer("/choices/0/message/content").and_then(Value::as_str);
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(TestResponse { answer: answer.unwrap_or_default().trim().to_owned(), ms })
}
