//! Requests to mcpd's API, and the words for their errors.

use crate::limits;
use crate::settings::Settings;
use anyhow::{Context as _, anyhow};
use client::http::Client;
use client::limits::REQUEST;
use client::request_error::root_cause;
use client::response::{error_message, read_body, read_error};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;

/// mcpd's API, with the configured server and token.
pub(crate) struct Api {
    client: Client,
}

impl Api {
    pub(crate) async fn new(settings: &Settings) -> anyhow::Result<Self> {
        let (server, token) = (settings.server()?, settings.token().await?);
        let program = concat!("mcpctl/", env!("CARGO_PKG_VERSION"));
        Ok(Self { client: Client::new(server, token, program)? })
    }

    /// Starts a request to an API path.
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, path)
    }

    /// Starts a request with query parameters to an API path.
    pub(crate) fn request_with<'a>(
        &self,
        method: Method,
        path: &str,
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> RequestBuilder {
        self.client.request_with(method, path, parameters)
    }

    /// Sends a request. A response other than 2xx is an error.
    pub(crate) async fn send(&self, request: RequestBuilder) -> anyhow::Result<Response> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        Err(refused(status, &read_error(response).await))
    }

    /// Sends a request and parses the whole response as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> anyhow::Result<T> {
        let response = self.send(request.timeout(REQUEST)).await?;
        let body = read_body(response, limits::RESPONSE).await?;
        serde_json::from_slice(&body)
            .context("the response is not what mcpd sends; is this the URL of an mcpd server?")
    }

    fn unreachable(&self, error: &reqwest::Error) -> anyhow::Error {
        let (server, cause) = (self.client.server(), root_cause(error));
        anyhow!("{server} cannot be reached: {cause}. Is the URL right, and does mcpd run there?")
    }
}

fn refused(status: StatusCode, body: &[u8]) -> anyhow::Error {
    let message = shown_message(body).unwrap_or_else(|| {
        String::from_utf8_lossy(body).chars().take(limits::ERROR_EXCERPT).collect()
    });
    match status {
        StatusCode::UNAUTHORIZED => {
            anyhow!("{message} (401). Set a valid token with `mcpctl config set-token`.")
        }
        _ => anyhow!("{message} ({})", status.as_u16()),
    }
}

/// Returns the message of an error body, cut to the length that is shown.
pub(crate) fn shown_message(body: &[u8]) -> Option<String> {
    let message = error_message(body)?;
    Some(message.chars().take(limits::ERROR_MESSAGE).collect())
}
