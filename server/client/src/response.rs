//! Reads responses within bounds, and finds the message in an error response.

use crate::{limits, request_error};
use reqwest::Response;

/// Where servers put the message of an error: problem+json, OpenAI and Anthropic, and others.
const MESSAGES: &[&str] = &["/detail", "/error/message", "/message", "/error"];

/// Why a response body could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It has more bytes than this limit.
    #[error("the response has more than {0} bytes")]
    TooLong(usize),
    /// The connection broke; the cause.
    #[error("{0}")]
    Broken(String),
}

/// Reads a whole body of at most `limit` bytes.
///
/// # Errors
/// The body is longer, or the connection broke.
pub async fn read_body(mut response: Response, limit: usize) -> Result<Vec<u8>, BodyError> {
    let announced = response.content_length().unwrap_or_default();
    if usize::try_from(announced).map_or(true, |announced| announced > limit) {
        return Err(BodyError::TooLong(limit));
    }
    let mut body = Vec::new();
    loop {
        let chunk = response.chunk().await;
        let Some(chunk) = chunk.map_err(|e| BodyError::Broken(request_error::describe(&e)))? else {
            return Ok(body);
        };
        if body.len() + chunk.len() > limit {
            return Err(BodyError::TooLong(limit));
        }
        body.extend_from_slice(&chunk);
    }
}

/// Reads the body of an error response: at most [`limits::ERROR_BODY`] bytes within
/// [`limits::ERROR_WAIT`]. Returns what arrived by then.
pub async fn read_error(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    let read = async {
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = limits::ERROR_BODY - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() >= room {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(limits::ERROR_WAIT, read).await;
    body
}

/// Returns the message in an error body, in any shape that servers use. The text is the server's:
/// it may be long and unprintable.
#[must_use]
pub fn error_message(body: &[u8]) -> Option<String> {
    first_text(body, MESSAGES)
}

/// Returns the first text at one of these JSON pointers.
#[must_use]
pub fn first_text(body: &[u8], pointers: &[&str]) -> Option<String> {
    let json: serde_json::Value = serde_json::from_slice(body).ok()?;
    let text = pointers.iter().find_map(|at| json.pointer(at).and_then(|value| value.as_str()))?;
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{BodyError, error_message, read_body, read_error};
    use crate::limits::ERROR_BODY;
    use reqwest::Response;

    fn response(bytes: usize) -> Response {
        http::Response::new(vec![b'x'; bytes]).into()
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_and_an_error_body_is_cut() {
        assert_eq!(read_body(response(10), 10).await.unwrap().len(), 10);
        assert_eq!(read_body(response(11), 10).await, Err(BodyError::TooLong(10)));
        assert_eq!(read_error(response(10)).await.len(), 10);
        assert_eq!(read_error(response(ERROR_BODY + 1)).await.len(), ERROR_BODY);
    }

    #[test]
    fn the_message_is_found_in_each_shape_of_error() {
        for body in [
            r#"{"detail": "no", "title": "Bad"}"#,
            r#"{"error": {"message": "no", "type": "x"}}"#,
            r#"{"type": "error", "error": {"type": "x", "message": "no"}}"#,
            r#"{"message": "no"}"#,
            r#"{"error": "no"}"#,
        ] {
            assert_eq!(error_message(body.as_bytes()).as_deref(), Some("no"), "{body}");
        }
        for body in ["", "<h1>", "{}", r#"{"error": {"code": 1}}"#] {
            assert_eq!(error_message(body.as_bytes()), None, "{body}");
        }
    }
}
