//! The one thing the relay reads in a request body, and the one value that it rewrites.
//!
//! Bodies are bytes: everything else in them passes unread, so that a parameter nobody here has
//! heard of still arrives.

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

/// The top-level fields of a request body that the relay needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// `model`, when it is there.
    pub model: Option<String>,
    /// `stream`, false when it is absent.
    pub stream: bool,
}

#[derive(Deserialize)]
struct RawHead<'a> {
    #[serde(borrow, default)]
    model: Option<&'a RawValue>,
    #[serde(default)]
    stream: Option<bool>,
}

/// Reads [`Head`] out of a JSON request body.
///
/// # Errors
/// A sentence for the caller: not a JSON object (with line and column), `model` not a string or
/// given twice, `stream` not a boolean.
pub fn head(body: &[u8]) -> Result<Head, String> {
    let raw = parse(body)?;
    let model = match raw.model {
        None => None,
        Some(value) => Some(
            serde_json::from_str::<String>(value.get())
                .map_err(|_| "`model` must be a string".to_owned())?,
        ),
    };
    Ok(Head { model, stream: raw.stream.unwrap_or(false) })
}

/// The same body with the value of `model` replaced, or added in front when there was none. Every
/// other byte stays as it is.
///
/// # Errors
/// As [`head`].
pub fn with_model(body: &Bytes, model: &str) -> Result<Bytes, String> {
    let raw = parse(body)?;
    let value = serde_json::to_string(model).map_err(|e| e.to_string())?;
    let (start, end, insert) = match raw.model {
        Some(old) => {
            let start = old.get().as_ptr() as usize - body.as_ptr() as usize;
            (start, start + old.get().len(), value)
        }
        None => {
            let open = body.iter().position(|b| *b == b'{').map_or(0, |at| at + 1);
            let empty = body[open..].iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'}');
            (open, open, format!("\"model\":{value}{}", if empty { "" } else { "," }))
        }
    };
    let mut out = BytesMut::with_capacity(body.len() + insert.len());
    out.extend_from_slice(&body[..start]);
    out.extend_from_slice(insert.as_bytes());
    out.extend_from_slice(&body[end..]);
    Ok(out.freeze())
}

fn parse(body: &[u8]) -> Result<RawHead<'_>, String> {
    let first = body.iter().find(|b| !b.is_ascii_whitespace());
    if first != Some(&b'{') {
        return Err("the body must be a JSON object".into());
    }
    serde_json::from_slice(body).map_err(|e| format!("the body is not usable JSON: {e}"))
}

#[cfg(test)]
mod tests {
    use super::{head, with_model};
    use bytes::Bytes;

    #[test]
    fn only_the_value_of_model_changes_and_every_other_byte_stays() {
        let body = Bytes::from_static(
            b"{ \"x\": 1E3,\r\n\t\"model\" : \"a\\u0062\" , \"big\":12345678901234567890123, \"m\":{\"model\":1}}",
        );
        assert_eq!(head(&body).unwrap().model.as_deref(), Some("ab"));
        let out = with_model(&body, "q\"3").unwrap();
        assert_eq!(
            &out[..],
            &b"{ \"x\": 1E3,\r\n\t\"model\" : \"q\\\"3\" , \"big\":12345678901234567890123, \"m\":{\"model\":1}}"[..]
        );
    }

    #[test]
    fn a_missing_model_is_added_to_full_and_to_empty_objects() {
        let added = with_model(&Bytes::from_static(b"{\"a\":1}"), "m").unwrap();
        assert_eq!(&added[..], b"{\"model\":\"m\",\"a\":1}");
        assert_eq!(
            &with_model(&Bytes::from_static(b" { } "), "m").unwrap()[..],
            b" {\"model\":\"m\" } "
        );
    }

    #[test]
    fn a_body_that_cannot_be_used_is_refused_with_its_reason() {
        for (body, word) in [
            ("[]", "object"),
            ("{\"model\":1}", "string"),
            ("{\"model\":\"a\",\"model\":\"b\"}", "duplicate"),
            ("{\"stream\":\"yes\"}", "boolean"),
            ("{\"a\":", "line 1"),
        ] {
            let why = head(body.as_bytes()).unwrap_err();
            assert!(why.contains(word), "{body}: {why}");
        }
    }
}
