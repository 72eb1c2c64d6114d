//! A caller's request body: what the scanner finds in it is what serde_json finds, however the body
//! is cut, and a body that could be read in two ways is refused.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use wire::body::{Head, Scanner, head, with_model};
use wire::limits::{JSON_DEPTH, JSON_KEY};

/// Any bytes.
pub(super) fn scanned(data: &[u8]) {
    let found = head(data);
    let bytes: Vec<&[u8]> = data.chunks(1).collect();
    assert_eq!(found.as_ref().ok(), in_pieces(&bytes).as_ref().ok(), "byte by byte");
    let (first, second) = data.split_at(data.len() / 2);
    assert_eq!(found.as_ref().ok(), in_pieces(&[first, second]).as_ref().ok(), "cut");
    agrees_with_serde(data, &found);
    if let Ok(head) = found {
        only_the_model_changes(&Bytes::copy_from_slice(data), head);
    }
}

fn in_pieces(pieces: &[&[u8]]) -> Result<Head, String> {
    let mut scanner = Scanner::default();
    let mut early = None;
    for piece in pieces {
        scanner.feed(piece)?;
        let known = scanner.model().map(str::to_owned);
        assert!(early.is_none() || early == known, "the model changes while it is read");
        early = known;
    }
    let found = scanner.finish()?.head;
    assert_eq!(early, found.model, "the model was known before the end");
    Ok(found)
}

fn only_the_model_changes(body: &Bytes, head: Head) {
    const NEW: &str = "the-\"backend's\"-own";
    let old = head.model.clone().unwrap_or_default();
    let after = with_model(body, NEW).unwrap_or_default();
    let wanted = Head { model: Some(NEW.to_owned()), ..head };
    assert_eq!(wire::body::head(&after), Ok(wanted), "only the model changes");
    let back = with_model(&after, &old).unwrap_or_default();
    let again = with_model(&back, NEW).unwrap_or_default();
    assert_eq!(again, after, "there and back");
}

/// The top-level entries of a JSON object, in their order.
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

fn agrees_with_serde(data: &[u8], found: &Result<Head, String>) {
    match serde_json::from_slice::<Entries>(data) {
        Ok(_) if over_a_limit(data) && found.is_err() => {}
        Ok(entries) => assert_eq!(found.as_ref().ok(), expected(&entries.0).as_ref()),
        Err(error) => {
            let goes_on = error.to_string().starts_with("trailing characters");
            let must_refuse = error.is_eof() || goes_on;
            assert!(!must_refuse || found.is_err(), "{error}, but it is taken");
        }
    }
}

/// Whether the scanner may refuse valid JSON for its size.
fn over_a_limit(data: &[u8]) -> bool {
    let opens = data.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
    opens > JSON_DEPTH || data.len() > JSON_KEY
}

/// What must be found in these entries; `None`: they must be refused.
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

/// As decoders do that ignore case: Unicode's simple folding.
fn folded(key: &str) -> String {
    let upper = key.chars().flat_map(char::to_uppercase);
    upper.flat_map(char::to_lowercase).map(|c| if c == '\u{212a}' { 'k' } else { c }).collect()
}
