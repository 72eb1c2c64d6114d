//! What mcpd's answers mean for what comes next. They are read within bounds, and no text of them is
//! shown as it came.

use crate::http_clients::{Unread, bounded, innermost, network_cause};
use crate::{limits, said};
use reqwest::{Response, StatusCode, header};
use serde::de::DeserializeOwned;
use std::time::Duration;
use wire::error::Code;

/// Why a request to mcpd failed, by what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The session is unknown there: register again, at once.
    #[error("the server does not know this session any more")]
    UnknownSession,
    /// Only a person can help.
    #[error("{0}")]
    Denied(String),
    /// Another machine holds the session, for now.
    #[error("{0}")]
    Conflict(String),
    /// Try again; not before the time that the server named.
    #[error("{message}")]
    Failed {
        /// For people.
        message: String,
        /// `Retry-After`.
        retry_after: Option<Duration>,
    },
}

impl From<Unread> for Fault {
    fn from(unread: Unread) -> Self {
        let message = match unread {
            Unread::TooLong(most) => format!("the server's answer has more than {most} bytes"),
            Unread::Broken(why) => format!("the server {why}"),
        };
        Self::Failed { message, retry_after: None }
    }
}

/// What an upload's answer means for the task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// It arrived.
    Delivered,
    /// Nobody waits for it: stop the backend.
    Unwanted,
    /// The connection broke, or the server could not take it; the cause.
    Broken(String),
}

/// The fault of a request without an answer.
pub(super) fn network(error: &reqwest::Error) -> Fault {
    Fault::Failed { message: format!("the server {}", network_cause(error)), retry_after: None }
}

pub(super) fn delivery(sent: reqwest::Result<Response>) -> Delivery {
    match sent.map(|response| response.status()) {
        Ok(status) if status.is_success() => Delivery::Delivered,
        Ok(StatusCode::GONE | StatusCode::NOT_FOUND | StatusCode::CONFLICT) => Delivery::Unwanted,
        Ok(status) => Delivery::Broken(format!("the server answered {status}")),
        Err(error) if error.is_timeout() => Delivery::Broken("no answer in time".into()),
        Err(error) => Delivery::Broken(innermost(&error).to_string()),
    }
}

/// The answer to `what`, as JSON.
pub(super) async fn usable<T: DeserializeOwned>(
    response: Response,
    what: &str,
) -> Result<T, Fault> {
    let body = bounded(response, limits::CONTROL_BODY).await?;
    serde_json::from_slice(&body).map_err(|_| Fault::Failed {
        message: format!("the server's answer to {what} is not usable; is it mcpd?"),
        retry_after: None,
    })
}

/// As [`checked`], for a request in which only the session can be unknown.
pub(super) async fn of_session(response: Response) -> Result<Response, Fault> {
    if response.status() != StatusCode::NOT_FOUND {
        return checked(response).await;
    }
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let is_page = kind.is_some_and(|kind| kind.starts_with("text/html"));
    // A server of protocol 1 says nothing but the status.
    let code = text_of(response, &["/code"]).await;
    if !is_page && Code::parse(&code) != Some(Code::NoSuchEndpoint) {
        return Err(Fault::UnknownSession);
    }
    let message = "there is no mcpd at this URL (404); is its path right?".into();
    Err(Fault::Failed { message, retry_after: None })
}

/// A good response, or the fault that a bad one means.
pub(super) async fn checked(response: Response) -> Result<Response, Fault> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after = response.headers().get(header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|v| v.to_str().ok()?.parse().ok());
    let detail = detail_of(response).await;
    let said = if detail.is_empty() { String::new() } else { format!(": {detail}") };
    Err(match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Fault::Denied(format!("the server refused the token ({status}){said}"))
        }
        StatusCode::CONFLICT => Fault::Conflict(format!("the server refused ({status}){said}")),
        _ => Fault::Failed {
            message: format!("the server answered {status}{said}"),
            retry_after: retry_after.map(Duration::from_secs),
        },
    })
}

/// The sentence of an error body, in any of the shapes that servers use; bounded.
pub(super) async fn detail_of(response: Response) -> String {
    text_of(response, &["/detail", "/error/message", "/message", "/error"]).await
}

/// The first text at one of these places of an error body; empty when there is none.
async fn text_of(response: Response, places: &[&str]) -> String {
    let read = bounded(response, limits::CONTROL_BODY);
    let bytes = tokio::time::timeout(limits::CONNECT, read).await;
    let Ok(Ok(bytes)) = bytes else {
        return String::new();
    };
    let Ok(json) = serde_json::from_slice::<serde_json::Value>(&bytes) else {
        return String::new();
    };
    let found = places.iter().find_map(|at| json.pointer(at).and_then(|v| v.as_str()));
    said::text(found.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{Fault, of_session};
    use reqwest::{Response, header};

    async fn fault(kind: &str, body: &'static str) -> Fault {
        let answer = http::Response::builder().status(404).header(header::CONTENT_TYPE, kind);
        of_session(Response::from(answer.body(body).unwrap())).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_404_of_something_that_is_no_mcpd_is_not_taken_for_a_forgotten_session() {
        let problem = "application/problem+json";
        for (kind, body) in [
            ("text/html; charset=utf-8", "<h1>404 Not Found</h1>"),
            (problem, "{\"code\": \"no_such_endpoint\"}"),
        ] {
            let fault = fault(kind, body).await;
            assert!(fault.to_string().contains("no mcpd at this URL"), "{body}: {fault}");
        }
        // mcpd, and a server of protocol 1.
        for (kind, body) in [(problem, "{\"code\": \"not_found\"}"), ("text/plain", "")] {
            assert_eq!(fault(kind, body).await, Fault::UnknownSession, "{body}");
        }
    }
}
