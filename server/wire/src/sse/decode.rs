//! Reads event streams incrementally, within limits.

use super::{Decoded, Event, Item};
use crate::limits::SSE_PREFIX;
use std::borrow::Cow;
use std::fmt;

/// An event that exceeded a limit. It was skipped, and the next one is read as usual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooLong {
    /// The limit that was exceeded.
    pub limit: Limit,
    /// The event's name; `message` if none was seen before the limit.
    pub name: String,
    /// The start of its data, at most [`SSE_PREFIX`] bytes.
    pub prefix: Vec<u8>,
}

/// A limit, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Length of one line.
    Line(usize),
    /// Data of one event.
    Event(usize),
}

impl TooLong {
    /// Reports an event with this data.
    #[must_use]
    pub fn new(limit: Limit, name: String, data: &str) -> Self {
        let prefix = data.as_bytes()[..data.len().min(SSE_PREFIX)].to_vec();
        Self { limit, name: name_or_default(name), prefix }
    }
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.limit.fmt(f)
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(most) => {
                write!(f, "a line of the event stream is longer than {most} bytes")
            }
            Self::Event(most) => {
                write!(f, "an event of the stream is longer than {most} bytes")
            }
        }
    }
}

impl std::error::Error for TooLong {}

/// Receives what a [`Decoder`] finds, in the order of the stream.
pub trait Sink {
    /// Receives an event, or the report of a skipped one.
    fn event(&mut self, event: Decoded);
    /// Receives a comment line; ignored by default.
    fn comment(&mut self, _text: Cow<'_, str>) {}
}

impl Sink for Vec<Decoded> {
    fn event(&mut self, event: Decoded) {
        self.push(event);
    }
}

impl Sink for Vec<Item> {
    fn event(&mut self, event: Decoded) {
        self.push(Item::Event(event));
    }

    fn comment(&mut self, text: Cow<'_, str>) {
        self.push(Item::Comment(text.into_owned()));
    }
}

/// Incremental decoder of one stream.
#[derive(Debug)]
pub struct Decoder {
    line: Vec<u8>,
    name: String,
    data: String,
    has_data: bool,
    after_cr: bool,
    at_start: bool,
    /// The rest of the current line is skipped.
    skipping_line: bool,
    /// The rest of the current event is skipped.
    skipping_event: bool,
    line_limit: usize,
    event_limit: usize,
}

impl Decoder {
    /// Creates a decoder at the start of a stream, with limits in bytes.
    #[must_use]
    pub fn new(line_limit: usize, event_limit: usize) -> Self {
        Self {
            line: Vec::new(),
            name: String::new(),
            data: String::new(),
            has_data: false,
            after_cr: false,
            at_start: true,
            skipping_line: false,
            skipping_event: false,
            line_limit,
            event_limit,
        }
    }

    /// Decodes the next bytes of the stream, cut anywhere. An event over a limit is reported as
    /// soon as it exceeds it, before its end.
    pub fn feed(&mut self, mut bytes: &[u8], sink: &mut impl Sink) {
        while !bytes.is_empty() {
            if self.after_cr {
                self.after_cr = false;
                if bytes[0] == b'\n' {
                    bytes = &bytes[1..];
                    continue;
                }
            }
            let end = memchr::memchr2(b'\r', b'\n', bytes);
            self.extend_line(&bytes[..end.unwrap_or(bytes.len())], sink);
            let Some(end) = end else { return };
            self.after_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            self.end_line(sink);
        }
    }

    fn extend_line(&mut self, part: &[u8], sink: &mut impl Sink) {
        let room = self.line_limit - self.line.len();
        if self.skipping_line {
            return;
        }
        self.line.extend_from_slice(&part[..part.len().min(room)]);
        if part.len() > room {
            self.skipping_line = true;
            self.line_too_long(sink);
        }
    }

    fn line_too_long(&mut self, sink: &mut impl Sink) {
        let line = self.take_line();
        let (field, value) = split(&line);
        // A comment belongs to no event.
        if self.skipping_event || field.is_empty() {
            return;
        }
        if field == b"data" {
            self.push_data(value);
        }
        self.skip_event(Limit::Line(self.line_limit), sink);
    }

    fn end_line(&mut self, sink: &mut impl Sink) {
        let line = self.take_line();
        if std::mem::take(&mut self.skipping_line) {
            return;
        }
        if line.is_empty() {
            self.dispatch(sink);
            return;
        }
        match split(&line) {
            (b"", comment) => sink.comment(text(comment)),
            _ if self.skipping_event => {}
            (b"event", name) => self.name = text(name).into_owned(),
            (b"data", value) => {
                self.push_data(value);
                if self.data.len() > self.event_limit {
                    self.skip_event(Limit::Event(self.event_limit), sink);
                }
            }
            _ => {}
        }
    }

    /// The current line so far, without a byte order mark at the start of the stream.
    fn take_line(&mut self) -> Vec<u8> {
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

    fn skip_event(&mut self, limit: Limit, sink: &mut impl Sink) {
        let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
        self.has_data = false;
        self.skipping_event = true;
        sink.event(Err(TooLong::new(limit, name, &data)));
    }

    fn dispatch(&mut self, sink: &mut impl Sink) {
        self.skipping_event = false;
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        if std::mem::take(&mut self.has_data) {
            sink.event(Ok(Event { name: name_or_default(name), data }));
        }
    }
}

fn name_or_default(name: String) -> String {
    if name.is_empty() { "message".to_owned() } else { name }
}

/// Splits a line into field and value; a comment's field is empty.
fn split(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|b| *b == b':') {
        Some(at) => (&line[..at], line[at + 1..].strip_prefix(b" ").unwrap_or(&line[at + 1..])),
        None => (line, b""),
    }
}

/// Decodes UTF-8, replacing what is invalid; valid text, the usual case, is not copied.
fn text(value: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(value).map_or_else(|_| String::from_utf8_lossy(value), Cow::Borrowed)
}

#[cfg(test)]
mod tests;
