//! What strangers' bytes go through, each with what must be true of it for any bytes. A target
//! panics where it is not: that is how a fuzzer hears of it.

mod body;
mod config;
mod frames;

use crate::tape::Tape;
use crate::{machine, session};
use wire::publisher::{Chunk, TaskResult};
use wire::sse::{Decoded, Decoder, Event, Limit};

/// A target.
pub type Target = fn(&[u8]);

/// All of them, by name.
pub const ALL: [(&str, Target); 8] = [
    ("events", events),
    ("frames", frames::frames),
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

/// An event stream is the same however it is cut, and what the standard says it is, but for events
/// that are too long: those are left out, each with a word of it, and nothing else is.
fn events(data: &[u8]) {
    let Some((at, text)) = data.split_first() else { return };
    let at = usize::from(*at) % (text.len() + 1);
    for (line, event) in [(MIB, MIB), (24, 40)] {
        let decode = |pieces: &[&[u8]]| decode(pieces, line, event);
        let whole = decode(&[text]);
        assert_eq!(whole, decode(&[&text[..at], &text[at..]]), "cut at {at}");
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(whole, decode(&bytes), "byte by byte");
        let without = |decoded: Vec<Decoded>| -> Vec<Result<Event, Limit>> {
            decoded.into_iter().map(|one| one.map_err(|left| left.limit)).collect()
        };
        assert_eq!(without(whole), as_the_standard_says(text, line, event));
    }
}

fn decode(pieces: &[&[u8]], line: usize, event: usize) -> Vec<Decoded> {
    let (mut decoder, mut events) = (Decoder::new(line, event), Vec::<Decoded>::new());
    for piece in pieces {
        decoder.feed(piece, &mut events);
    }
    events
}

/// The standard's algorithm, word by word, on a text that is there as a whole; and what is said of an
/// event that exceeds a limit.
fn as_the_standard_says(bytes: &[u8], most: usize, event: usize) -> Vec<Result<Event, Limit>> {
    let mut lines = lines(bytes);
    // What follows the last line's end is no line yet, but can be too long already.
    let unfinished = lines.pop().filter(|line| line.len() > most);
    let finished = lines.len();
    lines.extend(unfinished);
    let (mut events, mut name, mut data) = (Vec::new(), String::new(), None::<String>);
    let mut left_out = false;
    for (number, line) in lines.iter().enumerate() {
        let mark = b"\xef\xbb\xbf";
        let bare = if number == 0 { line.strip_prefix(mark).unwrap_or(line) } else { line };
        let text = String::from_utf8_lossy(bare);
        let (field, value) = text.split_once(':').unwrap_or((&text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        if bare.is_empty() && number < finished {
            left_out = false;
            let named = std::mem::take(&mut name);
            let named = if named.is_empty() { "message".to_owned() } else { named };
            events.extend(data.take().map(|data| Ok(Event { name: named, data })));
        } else if line.len() > most {
            if !left_out && !bare.starts_with(b":") {
                events.push(Err(Limit::Line(most)));
                (left_out, name, data) = (true, String::new(), None);
            }
        } else if !left_out && field == "event" {
            value.clone_into(&mut name);
        } else if !left_out && field == "data" {
            let whole = data.take().map_or_else(String::new, |before| before + "\n") + value;
            if whole.len() > event {
                events.push(Err(Limit::Event(event)));
                (left_out, name) = (true, String::new());
            } else {
                data = Some(whole);
            }
        }
    }
    events
}

/// The lines, and last what follows the end of the last one.
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

/// A caller's request, a publisher's result, a frame: read or refused; what is rewritten in one stays
/// the same everywhere else.
fn bodies(data: &[u8]) {
    body::scanned(data);
    let result = mcpd::fuzzing::result(data);
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
    let events = decode(&[&mcpd::fuzzing::chunk(chunk)], MIB, MIB);
    let text = chunk.data.replace("\r\n", "\n").replace('\r', "\n");
    let wanted = (!text.is_empty()).then(|| Ok(Event { name: "message".into(), data: text }));
    assert_eq!(events, wanted.into_iter().collect::<Vec<_>>());
}

/// A publisher's headers: a caller gets the listed ones and a status that HTTP knows, nothing else.
fn headers(data: &[u8]) {
    let lines = data.split(|byte| *byte == b'\n');
    let split = |line: &'_ [u8]| line.iter().position(|byte| *byte == b':');
    let pairs: Vec<(&[u8], &[u8])> =
        lines.filter_map(|line| split(line).map(|at| (&line[..at], &line[at + 1..]))).collect();
    let Some((status, given)) = mcpd::fuzzing::answer(&pairs) else { return };
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
    if !mcpd::fuzzing::token(text) {
        return;
    }
    let at = usize::from(*at) % text.len();
    let typo = if text.as_bytes()[at] == b'x' { "y" } else { "x" };
    let mut wrong = text.to_owned();
    wrong.replace_range(at..=at, typo);
    assert!(!mcpd::fuzzing::token(&wrong), "a typo at {at} passes");
}

fn relay_machine(data: &[u8]) {
    let kept = machine::run(&mut Tape::written(data), STEPS);
    assert_eq!(kept, Ok(()));
}

fn session_machine(data: &[u8]) {
    let kept = session::run(&mut Tape::written(data), STEPS);
    assert_eq!(kept, Ok(()));
}
