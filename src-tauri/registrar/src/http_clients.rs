//! The two HTTP clients: one towards mcpd, one towards local backends. They share nothing, so that
//! the bearer can never go to a backend and a backend's key never to mcpd. RunningTasks reach their backend
//! by a way of their own, in `backends/ask.rs`.

use crate::limits;
use reqwest::{Client, Response, redirect};
use std::error::Error;
use url::Url;

/// File with further CA certificates (PEM).
const CA_FILE: &str = "MCPCTL_CA_FILE";

/// The client towards this server. A proxy sees what is sent to an `http://` URL, the bearer too: such
/// a URL is on this machine and is asked without one, whatever the environment says.
pub(crate) fn server_client(server: &Url) -> Result<Client, String> {
    let mut builder = Client::builder()
        .user_agent(concat!("mcplocal/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .connect_timeout(limits::CONNECT)
        .tcp_nodelay(true)
        .tcp_keepalive(limits::CONNECT)
        .pool_idle_timeout(limits::IDLE_CONNECTION)
        .http1_only();
    if server.scheme() != "https" {
        builder = builder.no_proxy();
    }
    if let Some(path) = std::env::var_os(CA_FILE) {
        let pem = std::fs::read(&path).map_err(|e| format!("{CA_FILE}: {e}"))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem)
            .map_err(|e| format!("{CA_FILE} has no usable certificate: {e}"))?;
        builder = builder.tls_certs_merge(certificates);
    }
    builder.build().map_err(|e| format!("TLS cannot be set up: {e}"))
}

/// The client towards local backends, for everything but tasks: never through a proxy, and each
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

/// The innermost cause, which says what happened ("Connection refused"), without the URL.
pub(crate) fn network_cause(error: &reqwest::Error) -> String {
    let cause = innermost(error);
    let kind = if error.is_timeout() { "no answer in time" } else { "cannot be reached" };
    if std::ptr::eq(cause, error as &dyn Error) {
        kind.to_owned()
    } else {
        format!("{kind}: {cause}")
    }
}

/// What lies at the bottom of an error.
pub(crate) fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause
}

/// Why a body could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unread {
    /// It has more bytes than these.
    #[error("the answer has more than {0} bytes")]
    TooLong(usize),
    /// The connection broke; the cause.
    #[error("{0}")]
    Broken(String),
}

/// A whole body of at most so many bytes.
pub(crate) async fn bounded(mut response: Response, most: usize) -> Result<Vec<u8>, Unread> {
    let announced = response.content_length().unwrap_or_default();
    if usize::try_from(announced).map_or(true, |announced| announced > most) {
        return Err(Unread::TooLong(most));
    }
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await.map_err(|e| Unread::Broken(network_cause(&e)))? {
        if body.len() + bytes.len() > most {
            return Err(Unread::TooLong(most));
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}
