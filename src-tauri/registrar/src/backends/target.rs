//! A backend as requests reach it: its configuration, and the parts of a request that are the same for
//! every task.

use crate::config::ProviderConfig;
use crate::provider;
use reqwest::header::HeaderValue;
use std::sync::Arc;
use url::{Position, Url};
use wire::paths::RELAYED;

/// Where the requests of tasks go. Replaced as a whole when the configuration changes, so that no key
/// is sent to another URL than its own.
pub(crate) struct Target {
    pub(crate) provider: Arc<ProviderConfig>,
    /// The relayed endpoints, in the order of [`RELAYED`].
    endpoints: Vec<Arc<Endpoint>>,
}

/// One endpoint of a backend.
pub(crate) struct Endpoint {
    pub(crate) url: Url,
    /// The path as it stands in a request; `None` if the URL cannot be sent.
    pub(super) path: Option<http::Uri>,
    /// The host as it stands in a request.
    pub(super) host: Option<HeaderValue>,
}

impl Target {
    pub(crate) fn new(provider: ProviderConfig) -> Self {
        let endpoint = |path: &&str| Arc::new(Endpoint::new(provider::endpoint(&provider, path)));
        let endpoints = RELAYED.iter().map(endpoint).collect();
        Self { provider: Arc::new(provider), endpoints }
    }

    /// The endpoint of a path; `None` if that is not relayed.
    pub(crate) fn endpoint(&self, path: &str) -> Option<&Arc<Endpoint>> {
        let at = RELAYED.iter().position(|relayed| *relayed == path)?;
        self.endpoints.get(at)
    }
}

impl Endpoint {
    pub(crate) fn new(url: Url) -> Self {
        let path = url[Position::BeforePath..Position::AfterQuery].parse().ok();
        let host = HeaderValue::from_str(&url[Position::BeforeHost..Position::AfterPort]).ok();
        Self { url, path, host }
    }

    /// Scheme, host and port.
    pub(super) fn origin(&self) -> &str {
        &self.url[..Position::BeforePath]
    }
}
