//! Tests of JSON bodies.

use super::JsonScanner;
use crate::body::{Format, Head, with_model};
use bytes::Bytes;

fn head(body: &[u8]) -> Result<Head, String> {
    crate::body::head(&Format::Json, body)
}

#[test]
fn only_the_value_of_model_changes_and_every_other_byte_stays() {
    let body = Bytes::from_static(
        b"{ \"x\": 1E3,\r\n\t\"model\" : \"a\\u0062\" , \"big\":12345678901234567890123, \"m\":{\"model\":1}}",
    );
    assert_eq!(head(&body).unwrap().model.as_deref(), Some("ab"));
    let out = with_model(&Format::Json, &body, "q\"3").unwrap();
    assert_eq!(
        &out[..],
        &b"{ \"x\": 1E3,\r\n\t\"model\" : \"q\\\"3\" , \"big\":12345678901234567890123, \"m\":{\"model\":1}}"[..]
    );
}

#[test]
fn a_missing_model_is_added_to_full_and_to_empty_objects() {
    let added = with_model(&Format::Json, &Bytes::from_static(b"{\"a\":1}"), "m").unwrap();
    assert_eq!(&added[..], b"{\"model\":\"m\",\"a\":1}");
    assert_eq!(
        &with_model(&Format::Json, &Bytes::from_static(b" { } "), "m").unwrap()[..],
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
        ("{\"stream\":true,\"stream\":true}", "duplicate"),
        ("{\"a\":", "cut off at byte 5"),
        ("{\"a\":1}x", "follows"),
        ("{\"a\":1}{\"a\":1}", "follows"),
        ("{\"a\":[1}]}", "byte 7"),
        ("{\"a\":[/*\"*/],\"model\":\"b\"}", "byte 6"),
        ("{'model':1}", "byte 1"),
        ("{\"a\":1,}", "byte 7"),
        ("{\"a\"}", "byte 4"),
        ("{\"m\\ud800odel\":\"b\"}", "no valid string"),
        ("{\"model\":{\"model\":1}}", "string"),
        ("{\"a\":\"\\u\",\"model\":\"b\"}", "byte 8"),
        ("{\"a\":\"\\x\"}", "byte 7"),
        ("", "object"),
    ] {
        let why = head(body.as_bytes()).unwrap_err();
        assert!(why.contains(word), "{body}: {why}");
    }
}

#[test]
fn a_key_that_a_backend_could_take_for_model_or_stream_is_refused() {
    let as_keys = ["MODEL", "Model", "mode\\u004c", "\\u006dodeL", "STREAM", "\u{17f}tream"];
    for key in as_keys.into_iter().chain(["\\u017ftream", "\\u0053tream"]) {
        let body = format!("{{\"model\":\"a\",\"stream\":true,\"{key}\":\"b\"}}");
        let why = head(body.as_bytes()).unwrap_err();
        assert!(why.contains("could be taken for"), "{body}: {why}");
        let body = format!("{{\"{key}\":\"b\"}}");
        head(body.as_bytes()).unwrap_err();
    }
    for key in ["models", "mode", "xmodel", "model\\u0000", "streams", "\u{212a}ey"] {
        let body = format!("{{\"{key}\":\"b\", \"m\":{{\"MODEL\":1}}}}");
        assert_eq!(head(body.as_bytes()).unwrap().model, None, "{body}");
    }
    let escaped = head(b"{\"\\u006dode\\u006c\":\"a\",\"model\":\"b\"}").unwrap_err();
    assert!(escaped.contains("duplicate"), "{escaped}");
}

#[test]
fn null_is_replaced_like_a_value_and_counts_as_none() {
    let body = Bytes::from_static(b"{\"model\": null, \"stream\": null}");
    assert_eq!(head(&body).unwrap(), Head { model: None, stream: false });
    let out = with_model(&Format::Json, &body, "m").unwrap();
    assert_eq!(&out[..], b"{\"model\": \"m\", \"stream\": null}");
}

#[test]
fn a_body_that_is_malformed_elsewhere_is_left_to_the_backend() {
    for body in ["{\"model\":\"a\",\"n\":01.2.3}", "{\"model\":\"a\",\"n\":[tru,,]}"] {
        assert_eq!(head(body.as_bytes()).unwrap().model.as_deref(), Some("a"), "{body}");
    }
}

#[test]
fn the_model_is_known_before_the_rest_has_arrived_and_cuts_change_nothing() {
    let body = "{\"x\":[{\"a\":\"\\\"]\"}],\"model\":\"ä\\u0062\",\"stream\":true,\"z\":\"ü\"}";
    let mut scanner = JsonScanner::default();
    scanner.feed(&body.as_bytes()[..body.find(",\"stream").unwrap()]).unwrap();
    assert_eq!(scanner.model(), Some("äb"));
    let whole = Head { model: Some("äb".into()), stream: true };
    for cut in 0..=body.len() {
        let mut scanner = JsonScanner::default();
        let (first, second) = body.as_bytes().split_at(cut);
        scanner.feed(first).unwrap();
        scanner.feed(second).unwrap();
        assert_eq!(scanner.finish().unwrap().head, whole, "cut at {cut}");
    }
}

#[test]
fn a_body_that_is_nested_too_deep_or_has_a_long_key_is_refused() {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    head(nested(1024).as_bytes()).unwrap();
    assert!(head(nested(1025).as_bytes()).unwrap_err().contains("deeper"));
    let long = format!("{{\"{}\":1}}", "k".repeat(2000));
    assert!(head(long.as_bytes()).unwrap_err().contains("longer"));
    let long = format!("{{\"model\":\"{}\"}}", "k".repeat(2000));
    assert!(head(long.as_bytes()).unwrap_err().contains("longer"));
}
