//! The HTTP client towards mcpd: timeouts, CA file, proxy rule, bearer token.

use crate::environment::CA_FILE;
use crate::{limits, server_url};
use reqwest::{Certificate, Method, RequestBuilder, redirect};
use secrecy::{ExposeSecret as _, SecretString};
use std::io;
use url::Url;

/// Why an HTTP client cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The CA file is missing or unreadable.
    #[error("{CA_FILE} cannot be read: {0}")]
    CaFile(#[source] io::Error),
    /// The CA file is not PEM.
    #[error("{CA_FILE} has no usable certificate: {0}")]
    CaCertificate(#[source] reqwest::Error),
    /// TLS failed to start.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[source] reqwest::Error),
}

/// A server, the token for it and an HTTP client that reaches it. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    server: Url,
    token: SecretString,
}

impl Client {
    /// Creates a client for this server; `program` is the user agent.
    ///
    /// # Errors
    /// The CA file cannot be used, or TLS cannot be set up.
    pub fn new(server: Url, token: SecretString, program: &str) -> Result<Self, SetupError> {
        Ok(Self { http: build(&server, program)?, server, token })
    }

    /// Returns the server's URL.
    #[must_use]
    pub fn server(&self) -> &Url {
        &self.server
    }

    /// Starts a request with the token to an API path.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.request_with(method, path, [])
    }

    /// Starts a request with the token and these query parameters to an API path.
    pub fn request_with<'a>(
        &self,
        method: Method,
        path: &str,
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> RequestBuilder {
        let mut url = server_url::endpoint(&self.server, path);
        for (name, value) in parameters {
            url.query_pairs_mut().append_pair(name, value);
        }
        self.http.request(method, url).bearer_auth(self.token.expose_secret())
    }
}

/// Builds an HTTP client for this server without a token; `program` is the user agent.
///
/// A proxy sees everything that is sent to an `http://` URL, the token too. Such a server runs on
/// this machine, so it is reached directly, whatever proxy the environment names.
///
/// # Errors
/// The CA file cannot be used, or TLS cannot be set up.
pub fn build(server: &Url, program: &str) -> Result<reqwest::Client, SetupError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(program)
        .redirect(redirect::Policy::none())
        .connect_timeout(limits::CONNECT)
        .tcp_nodelay(true)
        .tcp_keepalive(limits::KEEP_ALIVE)
        .tcp_keepalive_interval(limits::KEEP_ALIVE_AGAIN)
        .tcp_keepalive_retries(limits::KEEP_ALIVE_TRIES)
        .pool_idle_timeout(limits::IDLE_CONNECTION)
        .http1_only();
    #[cfg(target_os = "linux")]
    {
        builder = builder.tcp_user_timeout(limits::UNACKNOWLEDGED);
    }
    if server.scheme() != "https" {
        builder = builder.no_proxy();
    }
    if let Some(path) = std::env::var_os(CA_FILE) {
        let pem = std::fs::read(&path).map_err(SetupError::CaFile)?;
        let certificates = Certificate::from_pem_bundle(&pem).map_err(SetupError::CaCertificate)?;
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(SetupError::Tls)
}
