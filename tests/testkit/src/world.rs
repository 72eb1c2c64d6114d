//! A server, a publisher, a backend and a caller, as most tests begin.

use crate::agent::{Agent, Home, provider};
use crate::backend::Backend;
use crate::mcpd::Mcpd;
use serde_json::{Value, json};

/// A server, an awake scripted backend that is published as `qwen`, and somebody who calls it.
pub struct World {
    /// Who publishes.
    pub agent: Agent,
    /// Its folder.
    pub home: Home,
    /// What is published.
    pub backend: Backend,
    /// The server.
    pub mcpd: Mcpd,
    /// The owner's token.
    pub publisher: String,
    /// The caller's token.
    pub caller: String,
}

impl World {
    /// As it comes.
    pub async fn new() -> Self {
        Self::on(Mcpd::start().await, Backend::awake().await, |entry| entry).await
    }

    /// With this entry in the configuration.
    pub async fn with(change: impl FnOnce(Value) -> Value) -> Self {
        Self::on(Mcpd::start().await, Backend::awake().await, change).await
    }

    /// With all parts chosen.
    pub async fn on(mcpd: Mcpd, backend: Backend, change: impl FnOnce(Value) -> Value) -> Self {
        let publisher = mcpd.token("mia", "publish");
        let caller = mcpd.token("tom", "infer");
        let entry = change(provider("qwen", &backend.url));
        let home = Home::with(&mcpd.url, &[entry]);
        let agent = Agent::start(&home, &publisher);
        mcpd.row(&caller, "qwen", |row| row["connected"] == true).await;
        Self { agent, home, backend, mcpd, publisher, caller }
    }

    /// Sends a chat.
    pub async fn chat(&self, body: &Value) -> reqwest::Response {
        let request = self.mcpd.post("/v1/chat/completions", &self.caller).json(body);
        request.send().await.unwrap()
    }

    /// Sends a streamed chat that the scripted backend answers as told.
    pub async fn scripted(&self, script: Value) -> reqwest::Response {
        self.chat(&crate::caller::scripted("qwen", script)).await
    }
}

/// A whole chat with `qwen`.
#[must_use]
pub fn whole() -> Value {
    json!({"model": "qwen", "messages": [{"role": "user", "content": "hello"}]})
}

/// An entry with these further keys.
#[must_use]
pub fn and(mut entry: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        entry[key] = value.clone();
    }
    entry
}
