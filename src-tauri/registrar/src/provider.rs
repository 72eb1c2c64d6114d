//! Backends: where their endpoints are, when they are ready, and what is put into a request.
//!
//! All of them speak the OpenAI dialect and get the caller's bytes; they differ in how one learns
//! that the model can answer. An open port is no readiness: llama.cpp answers 503 while it loads.

use crate::config::{ProviderConfig, ProviderKind};
use crate::limits;
use client::{request_error, response};
use reqwest::{Client, RequestBuilder};
use url::Url;

/// The URL for a relayed endpoint (`/v1/…`). The configured URL may end in `/v1` or not.
#[must_use]
pub fn endpoint(provider: &ProviderConfig, path: &str) -> Url {
    let mut url = provider.url.clone();
    let base = url.path().trim_end_matches('/');
    let base = base.strip_suffix("/v1").unwrap_or(base).to_owned();
    url.set_path(&format!("{base}{path}"));
    url
}

/// The model id that the backend knows.
#[must_use]
pub fn model(provider: &ProviderConfig) -> &str {
    provider.model.as_deref().unwrap_or(&provider.name)
}

/// The backend's own key, when one is configured.
///
/// # Errors
/// Its variable is not set: asked without the key, the backend would refuse or, worse, answer.
pub fn key(provider: &ProviderConfig) -> Result<Option<String>, String> {
    let Some(name) = &provider.api_key_env else { return Ok(None) };
    // Set to nothing is how scripts unset a variable.
    match std::env::var(name).ok().filter(|key| !key.trim().is_empty()) {
        Some(key) => Ok(Some(key)),
        None => Err(format!(
            "apiKeyEnv names {name}, and this program was started without that variable: set it and \
             start again; nothing is sent to the backend without its key"
        )),
    }
}

/// Puts the backend's own key in, when one is configured.
///
/// # Errors
/// See [`key`].
pub fn authorize(
    provider: &ProviderConfig,
    request: RequestBuilder,
) -> Result<RequestBuilder, String> {
    Ok(match key(provider)? {
        Some(key) => request.bearer_auth(key),
        None => request,
    })
}

/// Whether the backend can answer now.
///
/// # Errors
/// Why not, for the owner.
pub async fn ready(http: &Client, provider: &ProviderConfig) -> Result<(), String> {
    let path = match &provider.kind {
        ProviderKind::LlamaCpp | ProviderKind::Vllm => "/health",
        ProviderKind::Ollama => "/api/tags",
        ProviderKind::OpenAi | ProviderKind::LmStudio => "/v1/models",
        ProviderKind::Other(kind) => {
            return Err(format!("backends of type {kind} cannot be published by this version"));
        }
    };
    let url = endpoint(provider, path);
    let request = authorize(provider, http.get(url))?.timeout(limits::READY);
    let response = request.send().await.map_err(|e| request_error::describe(&e))?;
    match response.status() {
        status if status.is_success() => Ok(()),
        status => Err(format!("{path} answered {status}")),
    }
}

/// The ids of the models that the backend offers. Every kind has the OpenAI list.
///
/// # Errors
/// Why it cannot be asked, for the owner.
pub async fn models(http: &Client, provider: &ProviderConfig) -> Result<Vec<String>, String> {
    #[derive(serde::Deserialize)]
    struct List {
        data: Vec<Model>,
    }
    #[derive(serde::Deserialize)]
    struct Model {
        id: String,
    }
    let url = endpoint(provider, "/v1/models");
    let request = authorize(provider, http.get(url))?.timeout(limits::READY);
    let response = request.send().await.map_err(|e| request_error::describe(&e))?;
    if !response.status().is_success() {
        return Err(format!("/v1/models answered {}", response.status()));
    }
    let text =
        response::read_body(response, limits::MODELS_BODY).await.map_err(|why| why.to_string())?;
    let list: List = serde_json::from_slice(&text)
        .map_err(|_| "/v1/models did not answer with a list of models".to_owned())?;
    Ok(list.data.into_iter().take(limits::MODELS).map(|model| model.id).collect())
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
