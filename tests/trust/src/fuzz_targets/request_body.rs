//! The scanner of JSON bodies finds what serde_json finds, however the body is split, and rejects
//! bodies that different JSON parsers would read differently.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use wire::body::{Format, Head, Scanner, head, with_model};
use wire::limits::{JSON_DEPTH, JSON_KEY};

/// Checks the scanner on any bytes.
pub(super) fn check(data: &[u8]) {
    let found = head(&Format::Json, data);
    let bytes: Vec<&[u8]> = data.chunks(1).collect();
    assert_eq!(found.as_ref().ok(), in_pieces(&bytes).as_ref().ok(), "byte by byte");
    let (first, second) = data.split_at(data.len() / 2);
    assert_eq!(found.as_ref().ok(), in_pieces(&[first, second]).as_ref().ok(), "split in half");
    compare_with_serde(data, &found);
    if let Ok(head) = found {
        only_the_model_changes(&Bytes::copy_from_slice(data), head);
    }
}

fn in_pieces(pieces: &[&[u8]]) -> Result<Head, String> {
    let mut scanner = Scanner::new(&Format::Json);
    let mut early = None;
    for piece in pieces {
        scanner.feed(piece)?;
        let known = scanner.model().map(str::to_owned);
        assert!(early.is_none() || early == known, "the model changes while the body is read");
        early = known;
    }
    let found = scanner.finish()?.head;
    assert_eq!(early, found.model, "the model differs at the end");
    Ok(found)
}

fn only_the_model_changes(body: &Bytes, found: Head) {
    const NEW: &str = "the-\"backend's\"-own";
    let replace = |body, model| with_model(&Format::Json, body, model).unwrap_or_default();
    let old = found.model.clone().unwrap_or_default();
    let after = replace(body, NEW);
    let wanted = Head { model: Some(NEW.to_owned()), ..found };
    assert_eq!(head(&Format::Json, &after), Ok(wanted), "something else than the model changes");
    let again = replace(&replace(&after, &old), NEW);
    assert_eq!(again, after, "replacing the model twice changes something else");
}

/// The top-level entries of a JSON object, in document order.
struct Entries(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

fn compare_with_serde(data: &[u8], found: &Result<Head, String>) {
    match serde_json::from_slice::<Entries>(data) {
        Ok(_) if over_a_limit(data) && found.is_err() => {}
        Ok(entries) => assert_eq!(found.as_ref().ok(), expected(&entries.0).as_ref()),
        Err(error) => {
            let has_trailing_text = error.to_string().starts_with("trailing characters");
            let must_reject = error.is_eof() || has_trailing_text;
            assert!(!must_reject || found.is_err(), "accepted in spite of: {error}");
        }
    }
}

/// Returns true if the scanner may reject valid JSON because of its size or depth.
fn over_a_limit(data: &[u8]) -> bool {
    let opens = data.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
    opens > JSON_DEPTH || data.len() > JSON_KEY
}

/// Returns the expected result for these entries, or `None` if they must be rejected.
fn expected(entries: &[(String, Box<RawValue>)]) -> Option<Head> {
    let mut head = Head { model: None, stream: false };
    let (mut models, mut streams) = (0, 0);
    for (key, value) in entries {
        match key.as_str() {
            "model" => {
                models += 1;
                head.model = serde_json::from_str(value.get()).ok()?;
            }
            "stream" => {
                streams += 1;
                head.stream = serde_json::from_str::<Option<bool>>(value.get()).ok()? == Some(true);
            }
            other if ["model", "stream"].contains(&folded(other).as_str()) => return None,
            _ => {}
        }
    }
    (models <= 1 && streams <= 1).then_some(head)
}

/// Applies Unicode's simple case folding, as case-insensitive decoders do.
fn folded(key: &str) -> String {
    let upper = key.chars().flat_map(char::to_uppercase);
    upper.flat_map(char::to_lowercase).map(|c| if c == '\u{212a}' { 'k' } else { c }).collect()
}
