//! Requests to backends: their endpoints, their key, the readiness probe and the list of models.
//! The differences between kinds are data, see [`crate::provider_kinds`].

use crate::config::ProviderConfig;
use crate::limits;
use client::{request_error, response};
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder, Response};
use url::Url;

/// Why a backend cannot be used now; a sentence for the publisher.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// The environment variable of its key is not set. Waking the backend would not help.
    #[error("{0}")]
    KeyNotSet(String),
    /// It is not reachable, it answers no 2xx, or this version does not support its kind.
    #[error("{0}")]
    NotReady(String),
}

/// The URL of a relayed endpoint (`/v1/…`). The configured URL may end in `/v1` or not.
#[must_use]
pub fn endpoint(provider: &ProviderConfig, path: &str) -> Url {
    let mut url = provider.url.clone();
    let base = url.path().trim_end_matches('/');
    let base = base.strip_suffix("/v1").unwrap_or(base).to_owned();
    url.set_path(&format!("{base}{path}"));
    url
}

/// The id of the model at the backend.
#[must_use]
pub fn model(provider: &ProviderConfig) -> &str {
    provider.model.as_deref().unwrap_or(&provider.name)
}

/// The backend's own key, if one is configured.
///
/// # Errors
/// [`Unavailable::KeyNotSet`]. A request without the key would be refused or, worse, accepted.
fn key(provider: &ProviderConfig) -> Result<Option<String>, Unavailable> {
    let Some(name) = &provider.api_key_env else { return Ok(None) };
    // Scripts unset a variable by an empty value.
    match std::env::var(name).ok().filter(|key| !key.trim().is_empty()) {
        Some(key) => Ok(Some(key)),
        None => Err(Unavailable::KeyNotSet(format!(
            "apiKeyEnv names {name}, and this program was started without that variable: set it and \
             start again; nothing is sent to the backend without its key"
        ))),
    }
}

/// Adds the backend's own key to the headers of a request, if one is configured.
///
/// # Errors
/// [`Unavailable::KeyNotSet`], also if the key cannot stand in a header.
pub(crate) fn add_key(
    provider: &ProviderConfig,
    headers: &mut HeaderMap,
) -> Result<(), Unavailable> {
    let Some(key) = key(provider)? else { return Ok(()) };
    let value = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| {
        let message = "the backend's key has characters that no header may have";
        Unavailable::KeyNotSet(message.into())
    });
    let mut value = value?;
    value.set_sensitive(true);
    headers.insert(header::AUTHORIZATION, value);
    Ok(())
}

/// Adds the backend's own key to the request, if one is configured.
///
/// # Errors
/// [`Unavailable::KeyNotSet`].
pub fn authorize(
    provider: &ProviderConfig,
    request: RequestBuilder,
) -> Result<RequestBuilder, Unavailable> {
    Ok(match key(provider)? {
        Some(key) => request.bearer_auth(key),
        None => request,
    })
}

/// Probes the backend's readiness endpoint.
///
/// # Errors
/// The backend cannot be used now.
pub async fn probe(http: &Client, provider: &ProviderConfig) -> Result<(), Unavailable> {
    let kind = &provider.kind;
    let info = kind.info().ok_or_else(|| {
        let message = format!("backends of type {kind} cannot be published by this version");
        Unavailable::NotReady(message)
    })?;
    get(http, provider, info.readiness_path).await.map(drop)
}

/// Requests the ids of the models that the backend offers.
///
/// # Errors
/// The backend cannot be used now, or its response is no list of models.
pub async fn models(http: &Client, provider: &ProviderConfig) -> Result<Vec<String>, Unavailable> {
    #[derive(serde::Deserialize)]
    struct List {
        data: Vec<Model>,
    }
    #[derive(serde::Deserialize)]
    struct Model {
        id: String,
    }
    let path = provider.kind.info().map_or("/v1/models", |info| info.models_path);
    let response = get(http, provider, path).await?;
    let body = response::read_body(response, limits::MODELS_BODY).await;
    let body = body.map_err(|error| Unavailable::NotReady(error.to_string()))?;
    let list: List = serde_json::from_slice(&body).map_err(|_| {
        Unavailable::NotReady(format!("{path} did not answer with a list of models"))
    })?;
    Ok(list.data.into_iter().take(limits::MODELS).map(|model| model.id).collect())
}

async fn get(
    http: &Client,
    provider: &ProviderConfig,
    path: &str,
) -> Result<Response, Unavailable> {
    let request = authorize(provider, http.get(endpoint(provider, path)))?.timeout(limits::READY);
    let response = request.send().await;
    let response = response.map_err(|e| Unavailable::NotReady(request_error::describe(&e)))?;
    match response.status() {
        status if status.is_success() => Ok(response),
        status => Err(Unavailable::NotReady(format!("{path} answered {status}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::endpoint;
    use crate::config::{ProviderConfig, parse};

    fn provider(url: &str) -> ProviderConfig {
        let text = format!(r#"{{"llm": {{"providers": [{{"name": "a", "url": "{url}"}}]}}}}"#);
        parse(&text).unwrap().config.providers.remove(0)
    }

    #[test]
    fn an_endpoint_is_the_same_with_and_without_v1_in_the_url() {
        for url in ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"] {
            let at = endpoint(&provider(url), "/v1/chat/completions");
            assert_eq!(at.as_str(), "http://h:1/v1/chat/completions");
        }
        let at = endpoint(&provider("http://h:1/llm/v1"), "/v1/embeddings");
        assert_eq!(at.as_str(), "http://h:1/llm/v1/embeddings");
    }
}
