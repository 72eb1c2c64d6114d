//! A request that one of the fakes received.

use bytes::Bytes;
use http::{HeaderMap, header};
use multer::Multipart;
use serde_json::{Value, json};
use std::convert::Infallible;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct ReceivedRequest {
    /// Path without the query.
    pub path: String,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, byte for byte; the fake server stores only its beginning.
    pub body: Bytes,
}

impl ReceivedRequest {
    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// `content-type`; empty if there is none.
    #[must_use]
    pub fn content_type(&self) -> &str {
        let value = self.headers.get(header::CONTENT_TYPE);
        value.map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// The parts of a form as a JSON object of texts, as a parser of another project reads them; null
    /// if the body is no form.
    pub async fn form(&self) -> Value {
        let Ok(boundary) = multer::parse_boundary(self.content_type()) else { return Value::Null };
        let body = self.body.clone();
        let body = futures_util::stream::once(async { Ok::<_, Infallible>(body) });
        let (mut form, mut parts) = (Multipart::new(body, boundary), json!({}));
        while let Ok(Some(part)) = form.next_field().await {
            let name = part.name().unwrap_or_default().to_owned();
            parts[name] = String::from_utf8_lossy(&part.bytes().await.unwrap()).into();
        }
        parts
    }
}
