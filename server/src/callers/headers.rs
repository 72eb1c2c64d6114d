//! The request headers that are passed on to a backend.

use crate::http::error::ApiError;
use http::{HeaderMap, StatusCode};
use std::collections::BTreeMap;
use wire::error::Code;
use wire::limits::{FORWARDED_HEADER, FORWARDED_HEADERS};

/// The headers that are passed on.
///
/// # Errors
/// 431, naming the header that is too long.
pub(super) fn for_backend(headers: &HeaderMap) -> Result<BTreeMap<String, String>, ApiError> {
    let (mut passed, mut bytes) = (BTreeMap::new(), 0);
    for name in wire::headers::TO_BACKEND {
        let Some(value) = headers.get(*name).and_then(|value| value.to_str().ok()) else {
            continue;
        };
        let length = name.len() + value.len();
        bytes += length;
        let why = if length > FORWARDED_HEADER {
            format!(
                "the header {name} has {length} bytes, and at most {FORWARDED_HEADER} are passed on"
            )
        } else if bytes > FORWARDED_HEADERS {
            format!(
                "the headers that are passed on have more than {FORWARDED_HEADERS} bytes with {name}"
            )
        } else {
            passed.insert((*name).to_owned(), value.to_owned());
            continue;
        };
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(ApiError::new(status, Code::HeaderTooLarge, format!("{why}; shorten it")));
    }
    Ok(passed)
}
