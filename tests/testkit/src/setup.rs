//! The usual setup of a test: a server, an agent, a backend and a caller.

use crate::agent::{Agent, Home, provider};
use crate::fake_backend::FakeBackend;
use crate::mcpd::Mcpd;
use serde_json::{Value, json};

/// A server, a fake backend that an agent publishes as `qwen`, and a caller.
pub struct Setup {
    /// The agent.
    pub agent: Agent,
    /// The agent's folder.
    pub home: Home,
    /// The published backend.
    pub backend: FakeBackend,
    /// The server.
    pub mcpd: Mcpd,
    /// Token of the user `mia`, who publishes.
    pub publisher: String,
    /// Token of the user `tom`, who calls.
    pub caller: String,
}

impl Setup {
    /// Starts everything with default settings and a backend that is awake.
    pub async fn new() -> Self {
        Self::with_entry(|entry| entry).await
    }

    /// As [`Self::new`], with a changed configuration entry.
    pub async fn with_entry(change: impl FnOnce(Value) -> Value) -> Self {
        Self::with_parts(Mcpd::start().await, FakeBackend::awake().await, change).await
    }

    /// Starts the agent between this server and this backend, with a changed configuration entry.
    pub async fn with_parts(
        mcpd: Mcpd,
        backend: FakeBackend,
        change: impl FnOnce(Value) -> Value,
    ) -> Self {
        let publisher = mcpd.token("mia", "publish");
        let caller = mcpd.token("tom", "infer");
        let entry = change(provider("qwen", &backend.url));
        let home = Home::with_config(&mcpd.url, &[entry]);
        let agent = Agent::start(&home, &publisher);
        mcpd.until_entry(&caller, "qwen", |entry| entry["connected"] == true).await;
        Self { agent, home, backend, mcpd, publisher, caller }
    }

    /// Sends a chat and returns its response.
    pub async fn chat(&self, body: &Value) -> reqwest::Response {
        let request = self.mcpd.post("/v1/chat/completions", &self.caller).json(body);
        request.send().await.unwrap()
    }

    /// Sends a streamed chat with a script for the fake backend.
    pub async fn scripted_chat(&self, script: Value) -> reqwest::Response {
        self.chat(&crate::caller::scripted_chat("qwen", script)).await
    }
}

/// Body of a chat with `qwen` that is not streamed.
#[must_use]
pub fn chat_body() -> Value {
    json!({"model": "qwen", "messages": [{"role": "user", "content": "hello"}]})
}

/// Adds keys to a JSON object, such as a configuration entry.
#[must_use]
pub fn with_keys(mut object: Value, keys: &Value) -> Value {
    for (key, value) in keys.as_object().unwrap() {
        object[key] = value.clone();
    }
    object
}
