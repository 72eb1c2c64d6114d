//! A short test request to a published model, sent through mcpd as a caller does. The response is
//! shown and not stored.

use crate::credentials;
use crate::home::Home;
use crate::limits::TEST_RESPONSE_BODY;
use crate::mcpd_client::McpdClient;
use crate::{config, config::file};
use client::response;
use keychain::Keychain;
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// The prompt.
const PROMPT: &str = "Say hello in five words.";
/// The longest response in tokens.
const MAX_TOKENS: u32 = 48;

/// The response to a test request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "bindings", derive(ts_rs::TS))]
pub struct TestResponse {
    /// The text that the model wrote.
    pub answer: String,
    /// Time from request to response in milliseconds.
    #[cfg_attr(feature = "bindings", ts(type = "number"))]
    pub ms: u64,
}

/// Sends a test request with the token that publishes.
///
/// # Errors
/// The configuration or the credentials cannot be read, or the server or the model sent no usable
/// response within `max`; a sentence for people.
pub async fn send(
    home: &Home,
    keychain: &Keychain,
    model: &str,
    max: Duration,
) -> Result<TestResponse, String> {
    let text = file::read(&home.config()).map_err(|error| error.to_string())?;
    let config = config::parse(&text).map_err(|problem| problem.message)?.config;
    let loaded = credentials::load(home, config.mcpd_url.as_ref(), keychain).await;
    let loaded = loaded.map_err(|error| error.to_string())?;
    let mcpd = McpdClient::new(loaded).map_err(|error| error.to_string())?;
    let request = json!({
        "model": model,
        "max_tokens": MAX_TOKENS,
        "messages": [{"role": "user", "content": PROMPT}],
    });
    let began = Instant::now();
    let response = mcpd.chat(&request, max).await.map_err(|fault| fault.to_string())?;
    let body = response::read_body(response, TEST_RESPONSE_BODY).await;
    let body: Value = serde_json::from_slice(&body.map_err(|error| error.to_string())?)
        .map_err(|_| "the answer is not of the kind that was expected".to_owned())?;
    let answer = body.pointer("/choices/0/message/content").and_then(Value::as_str);
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(TestResponse { answer: answer.unwrap_or_default().trim().to_owned(), ms })
}
