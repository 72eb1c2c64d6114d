//! The main job, end to end: a person publishes, somebody else calls, and everything that can go
//! wrong between them.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod bad_input;
mod commands;
mod instances;
mod keyring;
mod kinds;
mod live_edits;
mod mcpctl;
mod nginx;
mod owner;
mod protocol1;
mod publish;
mod real_model;
mod relay;
mod secrets;
mod wake;

use e2e::agent::{Agent, Home, provider};
use e2e::backend::Backend;
use e2e::mcpd::Mcpd;
use serde_json::{Value, json};

/// A server, an awake scripted backend that is published as `qwen`, and somebody who calls it.
pub(crate) struct World {
    pub(crate) agent: Agent,
    pub(crate) home: Home,
    pub(crate) backend: Backend,
    pub(crate) mcpd: Mcpd,
    /// The owner's token.
    pub(crate) publisher: String,
    /// The caller's token.
    pub(crate) caller: String,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::on(Mcpd::start().await, Backend::awake().await, |entry| entry).await
    }

    /// With this entry in the configuration.
    pub(crate) async fn with(change: impl FnOnce(Value) -> Value) -> Self {
        Self::on(Mcpd::start().await, Backend::awake().await, change).await
    }

    pub(crate) async fn on(
        mcpd: Mcpd,
        backend: Backend,
        change: impl FnOnce(Value) -> Value,
    ) -> Self {
        let publisher = mcpd.token("mia", "publish");
        let caller = mcpd.token("tom", "infer");
        let entry = change(provider("qwen", &backend.url));
        let home = Home::with(&mcpd.url, &[entry]);
        let agent = Agent::start(&home, &publisher);
        mcpd.row(&caller, "qwen", |row| row["connected"] == true).await;
        Self { agent, home, backend, mcpd, publisher, caller }
    }

    /// Sends a chat.
    pub(crate) async fn chat(&self, body: &Value) -> reqwest::Response {
        let request = self.mcpd.post("/v1/chat/completions", &self.caller).json(body);
        request.send().await.unwrap()
    }

    /// Sends a streamed chat that the scripted backend answers as told.
    pub(crate) async fn scripted(&self, script: Value) -> reqwest::Response {
        self.chat(&e2e::caller::scripted("qwen", script)).await
    }
}

/// A whole chat with `qwen`.
pub(crate) fn whole() -> Value {
    json!({"model": "qwen", "messages": [{"role": "user", "content": "hello"}]})
}

/// An entry with these further keys.
pub(crate) fn and(mut entry: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        entry[key] = value.clone();
    }
    entry
}
