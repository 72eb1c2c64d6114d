//! Publishers that are registered and connected, and receive no requests.

use serde_json::json;
use testkit::fake_publisher::FakePublisher;
use testkit::mcpd::Mcpd;
use wire::token::{CreateToken, CreatedToken};
use wire::{PROTOCOL_2, paths};

/// A growing number of idle publishers at one server.
pub(crate) struct IdlePublishers {
    url: String,
    admin: String,
    http: reqwest::Client,
    connected: Vec<FakePublisher>,
}

impl IdlePublishers {
    /// None yet.
    pub(crate) fn at(mcpd: &Mcpd) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let admin = mcpd.token("ann", "admin");
        Self { url: mcpd.url.clone(), admin, http, connected: Vec::new() }
    }

    /// Connects more, until there are `count`, each with this many catalogue entries.
    pub(crate) async fn grow(&mut self, count: usize, entries: usize) {
        while self.connected.len() < count {
            let publisher = self.connect(self.connected.len(), entries).await;
            self.connected.push(publisher);
        }
    }

    async fn connect(&self, number: usize, entries: usize) -> FakePublisher {
        let request = CreateToken {
            user: format!("user-{number}"),
            scopes: vec!["publish".into()],
            ..CreateToken::default()
        };
        let created = self.http.post(format!("{}{}", self.url, paths::TOKENS));
        let created = created.bearer_auth(&self.admin).json(&request).send().await.unwrap();
        let created: CreatedToken = created.json().await.unwrap();
        let provider = |entry| json!({"name": format!("llm-{number}-{entry}")});
        let providers: Vec<_> = (0..entries).map(provider).collect();
        let register = json!({"protocol": PROTOCOL_2, "providers": providers});
        FakePublisher::connect(&self.url, &created.token, &register).await
    }
}
