//! CORS: lets web pages of other origins use the endpoints of callers, in a browser. The endpoints
//! of publishers and administrators stay closed to them.

use crate::limits::CORS_MAX_AGE;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::sync::Arc;
use wire::headers::{REQUEST_ID, TO_CALLER};

/// Any origin.
const ANY: &str = "*";
/// Methods of the callers' endpoints.
const METHODS: &str = "GET, POST";
/// What a preflight's response depends on.
const PREFLIGHT_VARIES: &str =
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

/// The origins whose pages may use the endpoints of callers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CorsOrigins {
    /// None: no response has a header of CORS.
    #[default]
    None,
    /// Every origin.
    Any,
    /// These, as browsers send them.
    These(Arc<[HeaderValue]>),
}

impl CorsOrigins {
    /// Checks and joins origins; `*` is every one.
    ///
    /// # Errors
    /// A text is not an origin as browsers send it; the message is a sentence for people.
    pub fn parse(texts: &[String]) -> Result<Self, String> {
        let origins = texts.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>()?;
        Ok(match origins {
            none if none.is_empty() => Self::None,
            all if all.iter().any(|origin| origin == ANY) => Self::Any,
            these => Self::These(these.into()),
        })
    }

    /// The value of `Access-Control-Allow-Origin` for a request from this origin.
    fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        match self {
            Self::None => None,
            Self::Any => Some(HeaderValue::from_static(ANY)),
            Self::These(these) => these.contains(origin).then(|| origin.clone()),
        }
    }
}

fn parse(text: &str) -> Result<HeaderValue, String> {
    let refused = |why: &str| {
        format!(
            "{text:?} is not an origin: {why}; give scheme, host and port as browsers send them, \
             such as https://app.example or http://localhost:5173, or * for every origin"
        )
    };
    let value = HeaderValue::from_str(text).map_err(|_| refused("it is not plain text"))?;
    if text == ANY {
        return Ok(value);
    }
    let (scheme, host) = text.split_once("://").ok_or_else(|| refused("it has no scheme"))?;
    let host: Authority =
        host.parse().map_err(|_| refused("it has more than a host and a port"))?;
    let default_port = match scheme {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    if !is_scheme || text != text.to_ascii_lowercase() {
        Err(refused("scheme and host must be in lower case"))
    } else if host.host().contains('*') {
        Err(refused("it must name one host"))
    } else if host.as_str().contains('@') {
        Err(refused("it has a user name"))
    } else if host.host().is_empty() || host.as_str().ends_with(':') {
        Err(refused("its host or port is missing"))
    } else if host.port_u16().is_some() && host.port_u16() == default_port {
        Err(refused("browsers leave out the usual port"))
    } else {
        Ok(value)
    }
}

/// Adds the headers of CORS to each response of a caller's endpoint, errors included, and responds
/// to preflights.
///
/// Pages may send every header: a key is one itself, and cookies mean nothing to mcpd, which is why
/// `Access-Control-Allow-Credentials` is never sent.
pub(crate) async fn allow_origins(
    State(origins): State<CorsOrigins>,
    request: Request,
    next: Next,
) -> Response {
    if !wire::paths::is_callers(request.uri().path()) {
        return next.run(request).await;
    }
    let allowed = request.headers().get(header::ORIGIN).and_then(|origin| origins.allowed(origin));
    if let Some(origin) = &allowed
        && request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    {
        return preflight(origin, request.headers());
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    // A cache must not give one origin's response to another.
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed());
    }
    response
}

/// Response to a browser that asks whether a page of this origin may send a request.
fn preflight(origin: &HeaderValue, request: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static(PREFLIGHT_VARIES));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, CORS_MAX_AGE.as_secs().into());
    if let Some(asked) = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    response
}

/// Names of the headers that a page may read, beside those that it always may.
fn exposed() -> HeaderValue {
    let names = [&[REQUEST_ID], TO_CALLER].concat().join(", ");
    HeaderValue::from_str(&names).unwrap_or(HeaderValue::from_static(REQUEST_ID))
}

#[cfg(test)]
mod tests {
    use super::CorsOrigins;

    fn parse(texts: &[&str]) -> Result<CorsOrigins, String> {
        CorsOrigins::parse(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn origins_are_taken_as_browsers_send_them() {
        for good in [
            "https://app.example",
            "http://localhost:5173",
            "http://[::1]:8080",
            "https://app.example:80",
            "tauri://localhost",
            "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        ] {
            let CorsOrigins::These(these) = parse(&[good]).unwrap() else { panic!("{good}") };
            assert_eq!(these[..], [good]);
        }
        assert_eq!(parse(&[]), Ok(CorsOrigins::None));
        assert_eq!(parse(&["https://app.example", "*"]), Ok(CorsOrigins::Any));
    }

    #[test]
    fn a_text_that_no_browser_sends_as_an_origin_is_refused_with_the_reason() {
        for (bad, why) in [
            ("app.example", "no scheme"),
            ("", "no scheme"),
            ("null", "no scheme"),
            ("https://", "host"),
            ("https://app.example/", "more than a host and a port"),
            ("https://app.example/page", "more than a host and a port"),
            ("https://app.example?x", "more than a host and a port"),
            ("https://App.example", "lower case"),
            ("HTTPS://app.example", "lower case"),
            ("://app.example", "lower case"),
            ("https://mia@app.example", "user name"),
            ("https://app.example:443", "usual port"),
            ("http://app.example:80", "usual port"),
            ("https://app.example:", "missing"),
            ("https://:8080", "missing"),
            ("https://app.example\n", "not plain text"),
            ("https://*.example", "one host"),
        ] {
            let refused = parse(&[bad]).unwrap_err();
            assert!(refused.contains(why) && refused.contains("such as"), "{bad}: {refused}");
        }
    }
}
