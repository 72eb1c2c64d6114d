//! Turns mcpd's responses into the [`Fault`]s and [`Delivery`]s that decide what follows. Bodies
//! are read within bounds, and texts in them are cut and made printable.

use crate::{limits, server_text};
use client::request_error::{describe, root_cause};
use client::response::{self, BodyError, first_text, read_body, read_error};
use reqwest::{Response, StatusCode, header};
use serde::de::DeserializeOwned;
use std::time::Duration;
use wire::error::Code;

/// Why a request to mcpd failed, by the reaction it needs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The server does not know the session: register again at once.
    #[error("the server does not know this session any more")]
    UnknownSession,
    /// The token is refused: wait for other credentials.
    #[error("{0}")]
    Denied(String),
    /// Another machine holds the session for now.
    #[error("{0}")]
    Conflict(String),
    /// Try again, not before the time that the server named.
    #[error("{message}")]
    Failed {
        /// For people.
        message: String,
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
}

impl Fault {
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), retry_after: None }
    }
}

impl From<BodyError> for Fault {
    fn from(error: BodyError) -> Self {
        Self::failed(match error {
            BodyError::TooLong(most) => format!("the server's response has more than {most} bytes"),
            BodyError::Broken(cause) => format!("the server {cause}"),
        })
    }
}

/// Outcome of an upload for a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// It arrived.
    Delivered,
    /// The task has ended at the server: stop the backend.
    Unwanted,
    /// The connection broke, or the server could not take it; the cause.
    Broken(String),
}

/// Returns the fault of a request that got no response.
pub(super) fn transport_fault(error: &reqwest::Error) -> Fault {
    Fault::failed(format!("the server {}", describe(error)))
}

pub(super) fn delivery(sent: reqwest::Result<Response>) -> Delivery {
    match sent.map(|response| response.status()) {
        Ok(status) if status.is_success() => Delivery::Delivered,
        Ok(StatusCode::GONE | StatusCode::NOT_FOUND | StatusCode::CONFLICT) => Delivery::Unwanted,
        Ok(status) => Delivery::Broken(format!("the server answered {status}")),
        Err(error) if error.is_timeout() => Delivery::Broken("no response in time".into()),
        Err(error) => Delivery::Broken(root_cause(&error).to_string()),
    }
}

/// Parses the response to `request` as JSON.
pub(super) async fn parse_json<T: DeserializeOwned>(
    response: Response,
    request: &str,
) -> Result<T, Fault> {
    let body = read_body(response, limits::CONTROL_BODY).await?;
    serde_json::from_slice(&body).map_err(|_| {
        Fault::failed(format!("the server's response to {request} is not usable; is it mcpd?"))
    })
}

/// As [`check_status`], for a request in which a 404 of mcpd means that the session is unknown.
pub(super) async fn check_session(response: Response) -> Result<Response, Fault> {
    if response.status() != StatusCode::NOT_FOUND {
        return check_status(response).await;
    }
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let is_page = content_type.is_some_and(|kind| kind.starts_with("text/html"));
    let code = first_text(&read_error(response).await, &["/code"]);
    let code = code.as_deref().and_then(Code::parse);
    // A protocol-1 server sends the status only.
    if !is_page && code != Some(Code::NoSuchEndpoint) {
        return Err(Fault::UnknownSession);
    }
    Err(Fault::failed("there is no mcpd at this URL (404); is its path right?"))
}

/// Returns a successful response, or the fault that its status means.
pub(super) async fn check_status(response: Response) -> Result<Response, Fault> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after = response.headers().get(header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
    let message = error_message(response).await;
    let message = if message.is_empty() { message } else { format!(": {message}") };
    Err(match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Fault::Denied(format!("the server refused the token ({status}){message}"))
        }
        StatusCode::CONFLICT => Fault::Conflict(format!("the server refused ({status}){message}")),
        _ => Fault::Failed {
            message: format!("the server answered {status}{message}"),
            retry_after: retry_after.map(Duration::from_secs),
        },
    })
}

/// Returns the message in an error response, or an empty text.
pub(super) async fn error_message(response: Response) -> String {
    let message = response::error_message(&read_error(response).await);
    server_text::clean(&message.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{Fault, check_session};
    use reqwest::{Response, header};

    async fn fault(kind: &str, body: &'static str) -> Fault {
        let response = http::Response::builder().status(404).header(header::CONTENT_TYPE, kind);
        check_session(Response::from(response.body(body).unwrap())).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_404_from_something_other_than_mcpd_does_not_mean_an_unknown_session() {
        let problem = "application/problem+json";
        for (kind, body) in [
            ("text/html; charset=utf-8", "<h1>404 Not Found</h1>"),
            (problem, "{\"code\": \"no_such_endpoint\"}"),
        ] {
            let fault = fault(kind, body).await;
            assert!(fault.to_string().contains("no mcpd at this URL"), "{body}: {fault}");
        }
        // mcpd, and a protocol-1 server.
        for (kind, body) in [(problem, "{\"code\": \"not_found\"}"), ("text/plain", "")] {
            assert_eq!(fault(kind, body).await, Fault::UnknownSession, "{body}");
        }
    }
}
