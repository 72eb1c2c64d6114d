//! What strangers' bytes go through, each with what must be true of it for any bytes. A target
//! panics where it is not: that is how a fuzzer hears of it.

mod body;
mod config;

use crate::tape::Tape;
use crate::{machine, session};
use registrar::sse::{Decoder, Event, TooLong};
use wire::publisher::{Chunk, TaskResult};

/// A target.
pub type Target = fn(&[u8]);

/// All of them, by name.
pub const ALL: [(&str, Target); 7] = [
    ("events", events),
    ("config", config::parse_and_edit),
    ("bodies", bodies),
    ("headers", headers),
    ("token", token),
    ("machine", relay_machine),
    ("session", session_machine),
];

/// Runs the target of this name.
///
/// # Panics
/// Where something is not as it should be, and when there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let found = ALL.iter().find(|(target, _)| *target == name);
    assert!(found.is_some(), "no target {name}");
    if let Some((_, target)) = found {
        target(data);
    }
}

/// Events of a run of a machine.
const STEPS: usize = 200;
const MIB: usize = 1 << 20;

/// An event stream is the same however it is cut, and what the standard says it is.
fn events(data: &[u8]) {
    let Some((at, text)) = data.split_first() else { return };
    let at = usize::from(*at) % (text.len() + 1);
    let whole = decode(&[text]);
    assert_eq!(whole, decode(&[&text[..at], &text[at..]]), "cut at {at}");
    let bytes: Vec<&[u8]> = text.chunks(1).collect();
    assert_eq!(whole, decode(&bytes), "byte by byte");
    assert_eq!(whole, Ok(as_the_standard_says(text)));
}

fn decode(pieces: &[&[u8]]) -> Result<Vec<Event>, TooLong> {
    let (mut decoder, mut events) = (Decoder::new(MIB, MIB), Vec::new());
    for piece in pieces {
        decoder.feed(piece, &mut events)?;
    }
    Ok(events)
}

/// The standard's algorithm, word by word, on a text that is there as a whole.
fn as_the_standard_says(bytes: &[u8]) -> Vec<Event> {
    let text = String::from_utf8_lossy(bytes);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    // What follows the last line's end is no line yet.
    let lines = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
    let ended = text.contains('\n');
    let (mut events, mut name, mut data) = (Vec::new(), String::new(), None::<String>);
    for line in lines.split('\n').filter(|_| ended) {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            _ if line.is_empty() => {
                let named = std::mem::take(&mut name);
                let named = if named.is_empty() { "message".to_owned() } else { named };
                events.extend(data.take().map(|data| Event { name: named, data }));
            }
            "event" => name = value.to_owned(),
            "data" => match &mut data {
                None => data = Some(value.to_owned()),
                Some(before) => {
                    before.push('\n');
                    before.push_str(value);
                }
            },
            _ => {}
        }
    }
    events
}

/// A caller's request, a publisher's result, a frame: read or refused; what is rewritten in one stays
/// the same everywhere else.
fn bodies(data: &[u8]) {
    body::scanned(data);
    let result = mcpd::untrusted::result(data);
    let as_serde_has_it = serde_json::from_slice::<TaskResult>(data).ok();
    // serde takes an array for an object too, and minds fields that do not count.
    let is_object = data.trim_ascii_start().starts_with(b"{");
    if let Some(wanted) = as_serde_has_it.filter(|_| is_object) {
        assert!(result.is_some(), "it is not taken");
        let whole = result.as_ref().and_then(|result| result.body.as_ref());
        let told_first =
            wanted.error.is_some() || wanted.ok == Some(true) || wanted.chunk.is_some();
        let wanted = wanted.body.filter(|_| !told_first);
        assert_eq!(whole.map(|body| body.get()), wanted.as_ref().map(|body| body.get()));
    }
    if let Some(chunk) = result.and_then(|result| result.chunk) {
        one_chunk_is_one_event(&chunk);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        one_chunk_is_one_event(&Chunk { data: text.to_owned(), done: false });
        let _frame_or_not = wire::control::Task::read(text);
    }
}

fn one_chunk_is_one_event(chunk: &Chunk) {
    let events = decode(&[&mcpd::untrusted::chunk(chunk)]);
    let text = chunk.data.replace("\r\n", "\n").replace('\r', "\n");
    let wanted = (!text.is_empty()).then(|| Event { name: "message".into(), data: text });
    assert_eq!(events, Ok(wanted.into_iter().collect()));
}

/// A publisher's headers: a caller gets the listed ones and a status that HTTP knows, nothing else.
fn headers(data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n');
    let split = |line: &'_ [u8]| line.iter().position(|byte| *byte == b':');
    let pairs: Vec<(&[u8], &[u8])> =
        lines.filter_map(|line| split(line).map(|at| (&line[..at], &line[at + 1..]))).collect();
    let Some((status, given)) = mcpd::untrusted::answer(&pairs) else { return };
    assert!((200..600).contains(&status), "{status}");
    for name in given.keys() {
        let listed = wire::headers::TO_CALLER.contains(&name.as_str());
        assert!(listed || name == "content-type", "{name} reaches a caller");
    }
}

/// A key with one wrong character is none.
fn token(data: &[u8]) {
    let Some((at, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    if !mcpd::untrusted::token(text) {
        return;
    }
    let at = usize::from(*at) % text.len();
    let typo = if text.as_bytes()[at] == b'x' { "y" } else { "x" };
    let mut wrong = text.to_owned();
    wrong.replace_range(at..=at, typo);
    assert!(!mcpd::untrusted::token(&wrong), "a typo at {at} passes");
}

fn relay_machine(data: &[u8]) {
    let kept = machine::run(&mut Tape::written(data), STEPS);
    assert_eq!(kept, Ok(()));
}

fn session_machine(data: &[u8]) {
    let kept = session::run(&mut Tape::written(data), STEPS);
    assert_eq!(kept, Ok(()));
}
