//! A running mcpd for one test.

use mcpd::clock::WallClock;
use mcpd::config::Serving;
use mcpd::store::{self, Location, Store};
use mcpd::tls::{CertificateFiles, Tls};
use mcpd::{Listener, ServeError};
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, SqliteConnection};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use testkit::certificate::Certificate;
use testkit::fake_publisher::FakePublisher;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::token::{CreateToken, CreatedToken};

/// Longest that any test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A server on a port of its own. Dropping it ends it without a drain.
pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) client: Client,
    pub(crate) shutdown: CancellationToken,
    pub(crate) running: JoinHandle<Result<(), ServeError>>,
    pub(crate) dir: TempDir,
    store: Arc<dyn Store>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_scaled(1.0).await
    }

    /// With every time limit multiplied.
    pub(crate) async fn start_scaled(time_scale: f64) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), time_scale).await
    }

    /// On the database that an earlier server left.
    pub(crate) async fn start_in(dir: TempDir, time_scale: f64) -> Self {
        Self::start_by(WallClock::system(), dir, time_scale).await
    }

    /// With these settings.
    pub(crate) async fn serving(serving: Serving) -> Self {
        Self::start_as(WallClock::system(), tempfile::tempdir().unwrap(), serving, None).await
    }

    /// With TLS, and every time limit multiplied.
    pub(crate) async fn with_tls(certificate: &Certificate, time_scale: f64) -> Self {
        let serving = Serving { time_scale, ..Serving::default() };
        let (clock, dir) = (WallClock::system(), tempfile::tempdir().unwrap());
        Self::start_as(clock, dir, serving, Some(certificate)).await
    }

    /// With tokens that live by this clock.
    pub(crate) async fn start_by(clock: WallClock, dir: TempDir, time_scale: f64) -> Self {
        Self::start_as(clock, dir, Serving { time_scale, ..Serving::default() }, None).await
    }

    async fn start_as(
        clock: WallClock,
        dir: TempDir,
        serving: Serving,
        certificate: Option<&Certificate>,
    ) -> Self {
        let store = store::open(&Location::in_folder(dir.path())).await.unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if certificate.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", socket.local_addr().unwrap());
        let tls = certificate.map(|certificate| Tls::load(&files(certificate)).unwrap());
        let listener = Listener { socket, tls };
        let shutdown = CancellationToken::new();
        let (kept, stop) = (Arc::clone(&store), shutdown.clone());
        let running =
            tokio::spawn(
                async move { mcpd::serve_by(clock, listener, kept, &serving, &stop).await },
            );
        let client = certificate
            .map_or_else(|| Client::builder().no_proxy().build().unwrap(), Certificate::client);
        Self { url, client, shutdown, running, dir, store }
    }

    /// Drains it and gives its folder back.
    pub(crate) async fn stop(mut self) -> TempDir {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(PATIENCE, &mut self.running).await;
        ended.expect("the server ends").unwrap().unwrap();
        std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap())
    }

    pub(crate) async fn token(&self, user: &str, scopes: &[&str]) -> String {
        self.make_token(user, scopes).await.token
    }

    pub(crate) async fn make_token(&self, user: &str, scopes: &[&str]) -> CreatedToken {
        let wish = CreateToken {
            user: user.into(),
            scopes: scopes.iter().map(|s| (*s).to_owned()).collect(),
            ..CreateToken::default()
        };
        mcpd::auth::create(self.store.as_ref(), &wish, unix_ms()).await.unwrap()
    }

    /// A token that was good until a second ago.
    pub(crate) async fn expired(&self, user: &str, scopes: &[&str]) -> String {
        let wish = CreateToken {
            user: user.into(),
            scopes: scopes.iter().map(|s| (*s).to_owned()).collect(),
            expires_in_seconds: Some(1),
            ..CreateToken::default()
        };
        let made = mcpd::auth::create(self.store.as_ref(), &wish, unix_ms() - 2_000).await;
        made.unwrap().token
    }

    /// As `mcpd token revoke` does it: in the database, behind the server's back.
    pub(crate) async fn revoke_behind_its_back(&self, id: &str) {
        assert!(self.store.revoke_token(id, unix_ms()).await.unwrap());
    }

    /// As `mcpd token revoke --user` does it.
    pub(crate) async fn revoke_user_behind_its_back(&self, user: &str) {
        assert!(self.store.revoke_user(user, unix_ms()).await.unwrap() > 0);
    }

    /// Another process's connection to the same database.
    pub(crate) async fn database(&self) -> SqliteConnection {
        let file = self.dir.path().join("mcpd.db");
        SqliteConnectOptions::new().filename(file).connect().await.unwrap()
    }

    pub(crate) fn delete(&self, path: &str, token: &str) -> RequestBuilder {
        self.client.delete(format!("{}{path}", self.url)).bearer_auth(token)
    }

    pub(crate) fn post(&self, path: &str, token: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).bearer_auth(token)
    }

    pub(crate) fn get(&self, path: &str, token: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url)).bearer_auth(token)
    }

    /// A publisher of protocol 2 that serves this one model for the user `mia`.
    pub(crate) async fn publisher(&self, model: &str) -> FakePublisher {
        let token = self.token("mia", &["publish"]).await;
        let provider = json!({"name": model, "type": "openai"});
        let register = json!({"protocol": 2, "providers": [provider]});
        FakePublisher::connect_by(self.client.clone(), &self.url, &token, &register).await
    }

    /// Address that it listens on.
    pub(crate) fn address(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }

    /// A streamed chat with this model.
    pub(crate) fn chat(&self, token: &str, model: &str) -> RequestBuilder {
        let body = json!({"model": model, "stream": true, "messages": []});
        self.post("/v1/chat/completions", token).json(&body)
    }

    /// The catalogue entry of this name, as soon as it meets this condition.
    pub(crate) async fn entry_where(
        &self,
        token: &str,
        name: &str,
        meets: impl Fn(&Value) -> bool,
    ) -> Value {
        let poll = async {
            loop {
                let answer = self.get(&format!("/api/v1/llms/{name}"), token).send().await;
                let entry: Value = answer.unwrap().json().await.unwrap();
                if meets(&entry) {
                    return entry;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, poll).await.expect("the entry in time")
    }
}

/// Paths of a certificate and its key.
pub(crate) fn files(certificate: &Certificate) -> CertificateFiles {
    CertificateFiles { certificate: certificate.file(), key: certificate.key() }
}

pub(crate) fn unix_ms() -> u64 {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(unix.as_millis()).unwrap()
}
