//! Requests to mcpd, and its errors in plain words.

use crate::settings::Settings;
use anyhow::{Context as _, anyhow};
use reqwest::{Method, RequestBuilder, Response, StatusCode, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use std::time::Duration;
use url::Url;

/// Connecting.
const CONNECT: Duration = Duration::from_secs(10);
/// A request that does not stream.
const WHOLE: Duration = Duration::from_secs(30);
/// What is shown of an error that is no JSON.
const EXCERPT: usize = 300;
/// Longest part of an error's text that is shown.
const SENTENCE: usize = 2_000;

/// The server, with the token.
pub(crate) struct Client {
    http: reqwest::Client,
    server: Url,
    token: SecretString,
}

impl Client {
    pub(crate) async fn new(settings: &Settings) -> anyhow::Result<Self> {
        let server = settings.server()?;
        let token = settings.token().await?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("mcpctl/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT)
            .tcp_nodelay(true);
        // A proxy would see the token. An http URL is on this machine and is asked without one.
        if server.scheme() != "https" {
            builder = builder.no_proxy();
        }
        if let Some(path) = std::env::var_os("MCPCTL_CA_FILE") {
            let pem = std::fs::read(&path).context("MCPCTL_CA_FILE cannot be read")?;
            builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(&pem)?);
        }
        Ok(Self { http: builder.build()?, server, token })
    }

    /// A request to a path of the server.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_with(method, path, [])
    }

    /// The same with these parameters.
    pub(crate) fn request_with<'a>(
        &self,
        method: Method,
        path: &str,
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> RequestBuilder {
        let mut url = self.server.clone();
        url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
        for (name, value) in parameters {
            url.query_pairs_mut().append_pair(name, value);
        }
        self.http.request(method, url).bearer_auth(self.token.expose_secret())
    }

    /// Sends it; an answer that is no success becomes an error.
    pub(crate) async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let text = response.text().await.unwrap_or_default();
        Err(refused(status, &text))
    }

    /// Sends it and reads the whole answer.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> anyhow::Result<T> {
        let response = self.send(request.timeout(WHOLE)).await?;
        response.json().await.context("the answer is not what mcpd sends; is this its URL?")
    }

    fn unreachable(&self, error: &reqwest::Error) -> anyhow::Error {
        let mut cause: &dyn std::error::Error = error;
        while let Some(inner) = cause.source() {
            cause = inner;
        }
        let server = &self.server;
        anyhow!("{server} cannot be reached: {cause}. Is the URL right, and does mcpd run there?")
    }
}

fn refused(status: StatusCode, text: &str) -> anyhow::Error {
    let said = message(text).unwrap_or_else(|| text.chars().take(EXCERPT).collect());
    match status {
        StatusCode::UNAUTHORIZED => {
            anyhow!("{said} (401). Keep a valid token with `mcpctl config set-token`.")
        }
        _ => anyhow!("{said} ({})", status.as_u16()),
    }
}

/// The sentence of an error body, in any of its shapes.
pub(crate) fn message(text: &str) -> Option<String> {
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    let places = ["/error/message", "/detail", "/error", "/message"];
    let found = places.iter().find_map(|at| json.pointer(at).and_then(|v| v.as_str()));
    found.map(|text| text.chars().take(SENTENCE).collect())
}
