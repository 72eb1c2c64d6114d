//! An incremental decoder of event streams (WHATWG HTML, "Server-sent events"), with limits.
//!
//! Pure: bytes in, events out. Comments produce nothing; whoever needs signs of life counts bytes. An
//! event that exceeds a limit is left out and said to be, and the stream goes on with the next one.

use crate::limits::BEGINNING;
use std::borrow::Cow;

/// One dispatched event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `message` when the stream names none.
    pub name: String,
    /// The data lines, joined by line feeds.
    pub data: String,
}

/// What the decoder gives: an event, or that one was left out.
pub type Decoded = Result<Event, TooLong>;

/// An event that exceeded a limit. It was left out, and the next one is read as usual.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{limit}")]
pub struct TooLong {
    /// Which limit.
    pub limit: Limit,
    /// The event's name, `message` when none was seen before the limit.
    pub name: String,
    /// Its data, up to [`BEGINNING`] bytes.
    pub begins: Vec<u8>,
}

/// A limit, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    /// Of one line.
    #[error("a line of the event stream is longer than {0} bytes")]
    Line(usize),
    /// Of one event.
    #[error("an event of the stream is longer than {0} bytes")]
    Event(usize),
}

impl TooLong {
    /// An event with this data.
    #[must_use]
    pub fn new(limit: Limit, name: String, data: &str) -> Self {
        let begins = data.as_bytes()[..data.len().min(BEGINNING)].to_vec();
        Self { limit, name: named(name), begins }
    }
}

/// The decoder.
#[derive(Debug)]
pub struct Decoder {
    line: Vec<u8>,
    name: String,
    data: String,
    has_data: bool,
    after_cr: bool,
    at_start: bool,
    /// The rest of this line is left out.
    skips_line: bool,
    /// The rest of this event is left out.
    skips_event: bool,
    line_limit: usize,
    event_limit: usize,
}

impl Decoder {
    /// A decoder at the start of a stream, with limits in bytes.
    #[must_use]
    pub fn new(line_limit: usize, event_limit: usize) -> Self {
        Self {
            line: Vec::new(),
            name: String::new(),
            data: String::new(),
            has_data: false,
            after_cr: false,
            at_start: true,
            skips_line: false,
            skips_event: false,
            line_limit,
            event_limit,
        }
    }

    /// Takes bytes as they came and appends the events that they complete. One that exceeds a limit
    /// is told of at once, before its end.
    pub fn feed(&mut self, mut bytes: &[u8], events: &mut Vec<Decoded>) {
        while !bytes.is_empty() {
            if self.after_cr {
                self.after_cr = false;
                if bytes[0] == b'\n' {
                    bytes = &bytes[1..];
                    continue;
                }
            }
            let end = memchr::memchr2(b'\r', b'\n', bytes);
            let part = &bytes[..end.unwrap_or(bytes.len())];
            self.take(part, events);
            let Some(end) = end else { return };
            self.after_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            self.end_of_line(events);
        }
    }

    /// More of the current line.
    fn take(&mut self, part: &[u8], events: &mut Vec<Decoded>) {
        let room = self.line_limit - self.line.len();
        if self.skips_line {
            return;
        }
        self.line.extend_from_slice(&part[..part.len().min(room)]);
        if part.len() > room {
            self.skips_line = true;
            self.line_too_long(events);
        }
    }

    fn line_too_long(&mut self, events: &mut Vec<Decoded>) {
        let line = self.whole_line();
        let (field, value) = split(&line);
        // A comment belongs to no event.
        if self.skips_event || field.is_empty() {
            return;
        }
        if field == b"data" {
            self.push_data(value);
        }
        self.too_long(Limit::Line(self.line_limit), events);
    }

    fn end_of_line(&mut self, events: &mut Vec<Decoded>) {
        let line = self.whole_line();
        if std::mem::take(&mut self.skips_line) {
            return;
        }
        if line.is_empty() {
            self.dispatch(events);
            return;
        }
        if self.skips_event {
            return;
        }
        let (field, value) = split(&line);
        match field {
            b"event" => self.name = text(value).into_owned(),
            b"data" => {
                self.push_data(value);
                if self.data.len() > self.event_limit {
                    self.too_long(Limit::Event(self.event_limit), events);
                }
            }
            // `id` and `retry` steer a browser's reconnect; ours has its own rules.
            _ => {}
        }
    }

    /// What there is of the line, without a byte order mark at the start of the stream.
    fn whole_line(&mut self) -> Vec<u8> {
        let mut line = std::mem::take(&mut self.line);
        if std::mem::replace(&mut self.at_start, false) && line.starts_with(b"\xef\xbb\xbf") {
            line.drain(..3);
        }
        line
    }

    fn push_data(&mut self, value: &[u8]) {
        if self.has_data {
            self.data.push('\n');
        }
        self.has_data = true;
        self.data.push_str(&text(value));
    }

    /// Leaves the rest of the event out.
    fn too_long(&mut self, limit: Limit, events: &mut Vec<Decoded>) {
        let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
        self.has_data = false;
        self.skips_event = true;
        events.push(Err(TooLong::new(limit, name, &data)));
    }

    fn dispatch(&mut self, events: &mut Vec<Decoded>) {
        self.skips_event = false;
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        if std::mem::take(&mut self.has_data) {
            events.push(Ok(Event { name: named(name), data }));
        }
    }
}

fn named(name: String) -> String {
    if name.is_empty() { "message".to_owned() } else { name }
}

/// Field and value of a line; a comment's field is empty.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|b| *b == b':') {
        Some(at) => (&line[..at], line[at + 1..].strip_prefix(b" ").unwrap_or(&line[at + 1..])),
        None => (line, b""),
    }
}

/// As text; nearly always it is, and that is fast to see.
fn text(value: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(value).map_or_else(|_| String::from_utf8_lossy(value), Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::{Decoded, Decoder, Event, Limit, TooLong};

    fn decode(pieces: &[&[u8]]) -> Vec<Event> {
        limited(pieces, 64 << 10, 64 << 10).into_iter().map(Result::unwrap).collect()
    }

    fn limited(pieces: &[&[u8]], line: usize, event: usize) -> Vec<Decoded> {
        let mut decoder = Decoder::new(line, event);
        let mut events = Vec::new();
        for piece in pieces {
            decoder.feed(piece, &mut events);
        }
        events
    }

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.into(), data: data.into() }
    }

    #[test]
    fn every_split_of_a_stream_gives_the_same_events() {
        let stream = "\u{feff}event: task\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\n: ka\n\ndata:x\rdata\r\revent: e\n\ndata: \u{fc}\n\n"
            .as_bytes();
        let whole = decode(&[stream]);
        let expected =
            [event("task", "{\"a\":\n1}"), event("message", "x\n"), event("message", "\u{fc}")];
        assert_eq!(whole, expected);
        for at in 0..=stream.len() {
            assert_eq!(decode(&[&stream[..at], &stream[at..]]), whole, "split at {at}");
        }
        let single: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(decode(&single), whole);
    }

    /// The Web Platform Tests' own streams; bodies are in base64 because some are no UTF-8.
    #[test]
    fn the_web_platform_tests_agree_whole_and_split_at_every_byte() {
        let vectors = include_str!("../testdata/wpt_eventsource_vectors.json");
        let vectors: Vec<serde_json::Value> = serde_json::from_str(vectors).unwrap();
        assert!(vectors.len() >= 20, "only {} vectors", vectors.len());
        for vector in vectors {
            let name = vector["name"].as_str().unwrap();
            let body = base64(vector["body_b64"].as_str().unwrap());
            let wanted: Vec<Event> = vector["want"]
                .as_array()
                .unwrap()
                .iter()
                .map(|want| event(want["event"].as_str().unwrap(), want["data"].as_str().unwrap()))
                .collect();
            for at in 0..=body.len() {
                assert_eq!(decode(&[&body[..at], &body[at..]]), wanted, "{name}, split at {at}");
            }
        }
    }

    fn base64(text: &str) -> Vec<u8> {
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let digits: Vec<u8> = text.bytes().filter(|b| *b != b'=').collect();
        let value = |digit: &u8| DIGITS.iter().position(|d| d == digit).unwrap() as u32;
        let bytes = digits.chunks(4).flat_map(|four| {
            let bits = four.iter().fold(0, |bits, digit| bits << 6 | value(digit))
                << (6 * (4 - four.len()));
            bits.to_be_bytes()[1..four.len()].to_vec()
        });
        bytes.collect()
    }

    #[test]
    fn an_unfinished_event_is_not_dispatched() {
        assert_eq!(decode(&[b"data: a\n\ndata: b\n"]), [event("message", "a")]);
    }

    fn too_long(limit: Limit, name: &str, begins: &str) -> Decoded {
        Err(TooLong { limit, name: name.into(), begins: begins.into() })
    }

    #[test]
    fn an_event_that_is_too_long_is_left_out_and_the_next_one_is_read_however_it_is_cut() {
        let line = || Limit::Line(16);
        let cases: [(&str, &[Decoded]); 6] = [
            (
                "event: task\ndata: 12\ndata: 3456789012345\nid: 7\n\ndata: next\n\n",
                &[too_long(line(), "task", "12\n3456789012"), Ok(event("message", "next"))],
            ),
            (
                "data: 123456\r\ndata: 7890\r\ndata: x\r\n\r\ndata: next\n\n",
                &[
                    too_long(Limit::Event(10), "message", "123456\n7890"),
                    Ok(event("message", "next")),
                ],
            ),
            ("data: a\n: a comment that is too long\ndata: b\n\n", &[Ok(event("message", "a\nb"))]),
            (
                "event: a-very-long-name\ndata: a\n\ndata: b\n\n",
                &[too_long(line(), "message", ""), Ok(event("message", "b"))],
            ),
            (
                "data: 0123456789abcdef\rdata: 0123456789abcdef\r\rdata: b\r\r",
                &[too_long(line(), "message", "0123456789"), Ok(event("message", "b"))],
            ),
            ("\u{feff}data: 0123456789", &[too_long(line(), "message", "0123456")]),
        ];
        for (stream, wanted) in cases {
            let stream = stream.as_bytes();
            let found = limited(&[stream], 16, 10);
            assert_eq!(found, wanted, "{:?}", String::from_utf8_lossy(stream));
            for at in 0..=stream.len() {
                let cut = limited(&[&stream[..at], &stream[at..]], 16, 10);
                assert_eq!(cut, found, "split at {at}");
            }
            let single: Vec<&[u8]> = stream.chunks(1).collect();
            assert_eq!(limited(&single, 16, 10), found);
        }
    }

    #[test]
    fn what_is_left_out_is_not_kept() {
        let mut decoder = Decoder::new(1 << 10, 1 << 10);
        let mut events = Vec::new();
        let piece = [b'x'; 64 << 10];
        decoder.feed(b"data: ", &mut events);
        for _ in 0..1_000 {
            decoder.feed(&piece, &mut events);
        }
        assert!(decoder.line.capacity() <= 4 << 10, "{}", decoder.line.capacity());
        assert!(matches!(&events[..], [Err(left)] if left.begins.len() <= super::BEGINNING));
    }
}
