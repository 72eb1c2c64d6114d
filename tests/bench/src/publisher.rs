//! Publishers that are connected and do nothing else: registered, with an open control channel.

use futures_util::StreamExt as _;
use reqwest::Client;
use testkit::mcpd::Mcpd;
use tokio::task::JoinHandle;
use wire::publisher::{Provider, Register, Registered};
use wire::token::{CreateToken, CreatedToken};
use wire::{PROTOCOL_2, headers, paths};

/// A crowd of them.
pub(crate) struct Crowd {
    mcpd: String,
    admin: String,
    http: Client,
    channels: Vec<JoinHandle<()>>,
}

impl Crowd {
    pub(crate) fn at(mcpd: &Mcpd) -> Self {
        let http = Client::builder().no_proxy().tcp_nodelay(true).build().unwrap();
        let admin = mcpd.token("ann", "admin");
        Self { mcpd: mcpd.url.clone(), admin, http, channels: Vec::new() }
    }

    /// Lets more come until there are so many, each with so many rows in the catalogue.
    pub(crate) async fn grow(&mut self, count: usize, rows: usize) {
        while self.channels.len() < count {
            let number = self.channels.len();
            let channel = self.connect(number, rows).await;
            self.channels.push(channel);
        }
    }

    async fn connect(&self, number: usize, rows: usize) -> JoinHandle<()> {
        let wish = CreateToken {
            user: format!("user-{number}"),
            scopes: vec!["publish".into()],
            ..CreateToken::default()
        };
        let made = self.http.post(self.at_path(paths::TOKENS)).bearer_auth(&self.admin).json(&wish);
        let made: CreatedToken = made.send().await.unwrap().json().await.unwrap();
        let provider =
            |row| Provider { name: format!("llm-{number}-{row}"), ..Provider::default() };
        let register = Register {
            protocol: PROTOCOL_2,
            providers: (0..rows).map(provider).collect(),
            ..Register::default()
        };
        let registered = self.http.post(self.at_path(paths::REGISTER)).bearer_auth(&made.token);
        let registered = registered.json(&register).send().await.unwrap();
        let registered: Registered = registered.error_for_status().unwrap().json().await.unwrap();
        let channel = self
            .http
            .get(self.at_path(paths::STREAM))
            .bearer_auth(&made.token)
            .header(headers::SESSION, &registered.provider_session_id)
            .header(headers::EPOCH, registered.epoch);
        let channel = channel.send().await.unwrap().error_for_status().unwrap();
        let mut bytes = channel.bytes_stream();
        bytes.next().await.unwrap().unwrap();
        tokio::spawn(async move { while let Some(Ok(_)) = bytes.next().await {} })
    }

    fn at_path(&self, path: &str) -> String {
        format!("{}{path}", self.mcpd)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.channels.iter().for_each(JoinHandle::abort);
    }
}
