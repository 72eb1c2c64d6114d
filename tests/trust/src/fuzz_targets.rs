//! Fuzz targets for the parsers of untrusted input and for the state machines. Each target checks
//! properties that hold for any bytes, and panics if one does not.

mod config;
mod form;
mod frames;
mod request_body;
mod uplink_frames;

use crate::choices::Choices;
use crate::{reconnect_policy, relay_machine};
use wire::publisher::{AnswerHead, Chunk, TaskResult};
use wire::sse::{Decoded, Decoder, Event, Limit};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// All targets, by name.
pub const ALL: [(&str, Target); 10] = [
    ("events", events),
    ("frames", frames::frames),
    ("config", config::parse_and_edit),
    ("uplink_frames", uplink_frames::check),
    ("bodies", bodies),
    ("forms", form::check),
    ("headers", headers),
    ("token", token),
    ("relay", relay),
    ("reconnect", reconnect),
];

/// Runs the target of this name.
///
/// # Panics
/// A property does not hold, or there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let entry = ALL.iter().find(|(target, _)| *target == name);
    assert!(entry.is_some(), "no target {name}");
    if let Some((_, target)) = entry {
        target(data);
    }
}

/// Events of each run of a state machine.
const STEPS: usize = 200;
const MIB: usize = 1 << 20;

/// The decoder of event streams gives the same events however the stream is split, and those of the
/// WHATWG algorithm. Only events over a limit are skipped, and each of them is reported.
fn events(data: &[u8]) {
    let Some((at, text)) = data.split_first() else { return };
    let at = usize::from(*at) % (text.len() + 1);
    for (line, event) in [(MIB, MIB), (24, 40)] {
        let decode = |pieces: &[&[u8]]| decode(pieces, line, event);
        let whole = decode(&[text]);
        assert_eq!(whole, decode(&[&text[..at], &text[at..]]), "split at {at}");
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(whole, decode(&bytes), "byte by byte");
        let limits = |decoded: Vec<Decoded>| -> Vec<Result<Event, Limit>> {
            decoded.into_iter().map(|one| one.map_err(|skipped| skipped.limit)).collect()
        };
        assert_eq!(limits(whole), reference_decode(text, line, event));
    }
}

fn decode(pieces: &[&[u8]], line: usize, event: usize) -> Vec<Decoded> {
    let (mut decoder, mut events) = (Decoder::new(line, event), Vec::<Decoded>::new());
    for piece in pieces {
        decoder.feed(piece, &mut events);
    }
    events
}

/// Follows the steps of the WHATWG algorithm on a complete text, and reports events over a limit.
fn reference_decode(
    bytes: &[u8],
    line_limit: usize,
    event_limit: usize,
) -> Vec<Result<Event, Limit>> {
    let mut lines = lines(bytes);
    // Text after the last line ending is no line yet, but can already be over the limit.
    let unfinished = lines.pop().filter(|line| line.len() > line_limit);
    let finished = lines.len();
    lines.extend(unfinished);
    let (mut events, mut name, mut data) = (Vec::new(), String::new(), None::<String>);
    let mut skipping = false;
    for (number, line) in lines.iter().enumerate() {
        let mark = b"\xef\xbb\xbf";
        let bare = if number == 0 { line.strip_prefix(mark).unwrap_or(line) } else { line };
        let text = String::from_utf8_lossy(bare);
        let (field, value) = text.split_once(':').unwrap_or((&text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        if bare.is_empty() && number < finished {
            skipping = false;
            let named = std::mem::take(&mut name);
            let named = if named.is_empty() { "message".to_owned() } else { named };
            events.extend(data.take().map(|data| Ok(Event { name: named, data })));
        } else if line.len() > line_limit {
            if !skipping && !bare.starts_with(b":") {
                events.push(Err(Limit::Line(line_limit)));
                (skipping, name, data) = (true, String::new(), None);
            }
        } else if !skipping && field == "event" {
            value.clone_into(&mut name);
        } else if !skipping && field == "data" {
            let whole = data.take().map_or_else(String::new, |before| before + "\n") + value;
            if whole.len() > event_limit {
                events.push(Err(Limit::Event(event_limit)));
                (skipping, name) = (true, String::new());
            } else {
                data = Some(whole);
            }
        }
    }
    events
}

/// Splits into lines; the last item is the text after the last line ending.
fn lines(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
        lines.push(&bytes[..end]);
        let length = if bytes[end..].starts_with(b"\r\n") { 2 } else { 1 };
        bytes = &bytes[end + length..];
    }
    lines.push(bytes);
    lines
}

/// A request body, a publisher's result or a frame is parsed or rejected; rewriting the model of a
/// body changes nothing else.
fn bodies(data: &[u8]) {
    request_body::check(data);
    let result = mcpd::fuzzing::result(data);
    let by_serde = serde_json::from_slice::<TaskResult>(data).ok();
    // serde also accepts an array as an object, and rejects wrong types in fields that are ignored.
    let is_object = data.trim_ascii_start().starts_with(b"{");
    if let Some(wanted) = by_serde.filter(|_| is_object) {
        assert!(result.is_some(), "a valid result is rejected");
        let whole = result.as_ref().and_then(|result| result.body.as_ref());
        let has_priority =
            wanted.error.is_some() || wanted.ok == Some(true) || wanted.chunk.is_some();
        let wanted = wanted.body.filter(|_| !has_priority);
        assert_eq!(whole.map(|body| body.get()), wanted.as_ref().map(|body| body.get()));
    }
    if let Some(chunk) = result.and_then(|result| result.chunk) {
        one_chunk_is_one_event(&chunk);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        one_chunk_is_one_event(&Chunk { data: text.to_owned(), done: false });
        let _accepted_or_rejected = wire::control::Task::read(text);
    }
}

fn one_chunk_is_one_event(chunk: &Chunk) {
    let events = decode(&[&mcpd::fuzzing::chunk(chunk)], MIB, MIB);
    let text = chunk.data.replace("\r\n", "\n").replace('\r', "\n");
    let wanted = (!text.is_empty()).then(|| Ok(Event { name: "message".into(), data: text }));
    assert_eq!(events, wanted.into_iter().collect::<Vec<_>>());
}

/// Of a head frame's headers a caller receives only the listed ones, and always a valid status. What
/// is refused is no head at all, has an impossible status, or a value that no header can have.
fn headers(data: &[u8]) {
    let parsed = serde_json::from_slice::<AnswerHead>(data).ok();
    let Some((status, given)) = mcpd::fuzzing::response_head(data) else {
        let usable = |head: &AnswerHead| {
            let visible = |value: &String| value.bytes().all(|byte| (32..127).contains(&byte));
            (200..600).contains(&head.status) && head.headers.values().all(visible)
        };
        assert!(!parsed.is_some_and(|head| usable(&head)), "a usable head is refused");
        return;
    };
    let head = parsed.unwrap_or_default();
    assert!((200..600).contains(&status) && status == head.status, "{status}");
    for (name, value) in &given {
        let listed = wire::headers::TO_CALLER.contains(&name.as_str());
        assert!(listed || name == "content-type", "{name} reaches a caller");
        assert_eq!(head.headers.get(name.as_str()).map(String::as_bytes), Some(value.as_bytes()));
    }
}

/// A valid token is rejected once any of its characters is changed.
fn token(data: &[u8]) {
    let Some((at, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    if !mcpd::fuzzing::token(text) {
        return;
    }
    let at = usize::from(*at) % text.len();
    let typo = if text.as_bytes()[at] == b'x' { "y" } else { "x" };
    let mut wrong = text.to_owned();
    wrong.replace_range(at..=at, typo);
    assert!(!mcpd::fuzzing::token(&wrong), "a token with a typo at {at} is accepted");
}

fn relay(data: &[u8]) {
    assert_eq!(relay_machine::run(&mut Choices::from_bytes(data), STEPS), Ok(()));
}

fn reconnect(data: &[u8]) {
    assert_eq!(reconnect_policy::run(&mut Choices::from_bytes(data), STEPS), Ok(()));
}
