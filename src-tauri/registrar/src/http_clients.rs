//! The HTTP client towards local backends. It shares nothing with the one towards mcpd
//! ([`crate::mcpd_client`]), so that the bearer token cannot reach a backend, nor a backend's key
//! mcpd. Tasks reach their backend through `backends` instead.

use crate::limits;
use reqwest::{Client, redirect};

/// Builds the client for every request to a backend except tasks: never through a proxy, and each
/// request on a connection of its own.
///
/// # Errors
/// TLS cannot be set up.
pub fn backend_client() -> Result<Client, String> {
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .connect_timeout(limits::BACKEND_CONNECT)
        .pool_max_idle_per_host(0)
        .tcp_nodelay(true)
        .http1_only()
        .build()
        .map_err(|e| format!("TLS cannot be set up: {e}"))
}
