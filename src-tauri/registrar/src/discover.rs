//! Backends that run on this machine now, by the ports that they use when nobody changed them.

use crate::config::{ProviderConfig, ProviderKind, parse};
use crate::http_clients::backend_client;
use crate::provider;
use futures_util::future::join_all;
use reqwest::Client;
use serde::Serialize;
use serde_json::json;

/// The usual ports, and what usually listens there.
const USUAL: &[(ProviderKind, u16)] = &[
    (ProviderKind::Ollama, 11434),
    (ProviderKind::LmStudio, 1234),
    (ProviderKind::LlamaCpp, 8080),
    (ProviderKind::Vllm, 8000),
];
/// Environment variable with other ports, as `llamacpp=9090,ollama=9091`, for tests and oddities.
const PORTS: &str = "MCPCTL_DISCOVER";

/// A backend that answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "bindings", derive(ts_rs::TS))]
pub struct Found {
    /// `type` in the configuration.
    pub kind: String,
    /// `url` in the configuration.
    pub url: String,
    /// The ids of the models that it offers.
    pub models: Vec<String>,
}

/// Asks the usual ports of this machine.
pub async fn backends() -> Vec<Found> {
    let Ok(http) = backend_client() else { return Vec::new() };
    let asked = places().into_iter().map(|(kind, port)| ask(&http, kind, port));
    join_all(asked).await.into_iter().flatten().collect()
}

fn places() -> Vec<(String, u16)> {
    if let Ok(text) = std::env::var(PORTS) {
        let place = |place: &str| {
            let (kind, port) = place.split_once('=')?;
            Some((kind.to_owned(), port.parse().ok()?))
        };
        return text.split(',').filter_map(place).collect();
    }
    USUAL.iter().map(|(kind, port)| (kind.as_str().to_owned(), *port)).collect()
}

async fn ask(http: &Client, kind: String, port: u16) -> Option<Found> {
    let url = format!("http://127.0.0.1:{port}");
    let provider = at(&kind, &url)?;
    let models = provider::models(http, &provider).await.ok()?;
    Some(Found { kind, url, models })
}

/// A provider that is in no file.
fn at(kind: &str, url: &str) -> Option<ProviderConfig> {
    let entry = json!({"name": "found", "type": kind, "url": url});
    let text = json!({"llm": {"providers": [entry]}}).to_string();
    parse(&text).ok()?.config.providers.pop()
}
