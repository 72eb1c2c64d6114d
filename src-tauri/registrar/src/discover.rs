//! Finds backends that run on this machine, by the usual port of each kind.

use crate::config::{ProviderConfig, parse};
use crate::http_clients::backend_client;
use crate::provider;
use crate::provider_kinds::KINDS;
use futures_util::future::join_all;
use reqwest::Client;
use serde::Serialize;
use serde_json::json;

/// Environment variable with other ports, as `llamacpp=9090,ollama=9091`; for tests and unusual
/// set-ups.
const PORTS: &str = "MCPCTL_DISCOVER";

/// A backend that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "bindings", derive(ts_rs::TS))]
pub struct Found {
    /// `type` in the configuration.
    pub kind: String,
    /// `url` in the configuration.
    pub url: String,
    /// Ids of the models that it offers.
    pub models: Vec<String>,
}

/// Requests the list of models from each usual port; returns those that sent one.
pub async fn backends() -> Vec<Found> {
    let Ok(http) = backend_client() else { return Vec::new() };
    let probes = ports().into_iter().map(|(kind, port)| probe(&http, kind, port));
    join_all(probes).await.into_iter().flatten().collect()
}

fn ports() -> Vec<(String, u16)> {
    if let Ok(text) = std::env::var(PORTS) {
        let port = |entry: &str| {
            let (kind, port) = entry.split_once('=')?;
            Some((kind.to_owned(), port.parse().ok()?))
        };
        return text.split(',').filter_map(port).collect();
    }
    KINDS.iter().filter_map(|kind| Some((kind.id.to_owned(), kind.discovery_port?))).collect()
}

async fn probe(http: &Client, kind: String, port: u16) -> Option<Found> {
    let url = format!("http://127.0.0.1:{port}");
    let provider = provider_at(&kind, &url)?;
    let models = provider::models(http, &provider).await.ok()?;
    Some(Found { kind, url, models })
}

/// A provider that is in no file.
fn provider_at(kind: &str, url: &str) -> Option<ProviderConfig> {
    let entry = json!({"name": "found", "type": kind, "url": url});
    let text = json!({"llm": {"providers": [entry]}}).to_string();
    parse(&text).ok()?.config.providers.pop()
}
