//! Waits for the response of a submitted request and makes the caller's HTTP response of it.

use super::stream::{Recipient, RelayedBody};
use crate::http::error::ApiError;
use crate::relay_driver::{CallerEvent, PendingResponse, ResponseHead};
use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// Waits for the first event that decides the head of the response.
///
/// # Errors
/// The request failed before its first byte, or the caller's key was revoked (401).
pub(super) async fn wait_for_response(
    recipient: Recipient,
    mut pending: PendingResponse,
) -> Result<Response, ApiError> {
    let event = tokio::select! {
        event = pending.next() => event,
        () = recipient.principal.alive.cancelled() => {
            pending.leave(relay::GoneReason::Revoked);
            let message = "this key was revoked while the request waited";
            return Err(ApiError::unauthorized(message));
        }
    };
    match event {
        CallerEvent::Head(head) => {
            recipient.account.first_byte();
            let body = RelayedBody::new(pending, recipient);
            let (body, length) = body.of_response(&head);
            let mut response = with_head(head, body);
            if let Some(length) = length {
                response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            }
            Ok(response)
        }
        CallerEvent::Notice(notice) => {
            let body = RelayedBody::new(pending, recipient);
            Ok(with_head(event_stream(), body.after_notice(notice)))
        }
        CallerEvent::Failed(failure) => {
            pending.disarm();
            Err(failure.into())
        }
        CallerEvent::Data(_) | CallerEvent::End => Err(ApiError::internal("an answer has no head")),
    }
}

fn with_head(head: ResponseHead, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    // A proxy must not buffer tokens, and a browser must not run what a publisher has written as a
    // page with rights of its own.
    for (name, value) in
        [("x-accel-buffering", "no"), ("content-security-policy", "default-src 'none'; sandbox")]
    {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
    response
}

fn event_stream() -> ResponseHead {
    let kind = HeaderValue::from_static("text/event-stream");
    let headers = HeaderMap::from_iter([
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ]);
    ResponseHead { status: StatusCode::OK, headers, length: None }
}
