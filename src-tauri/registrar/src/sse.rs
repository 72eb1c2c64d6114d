//! An incremental decoder of event streams (WHATWG HTML, "Server-sent events"), with limits.
//!
//! Pure: bytes in, events out. Comments produce nothing; whoever needs signs of life counts bytes.

use std::borrow::Cow;

/// One dispatched event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `message` when the stream names none.
    pub name: String,
    /// The data lines, joined by line feeds.
    pub data: String,
}

/// A limit was exceeded; the stream cannot be followed any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooLong {
    /// One line.
    #[error("a line of the event stream is longer than {0} bytes")]
    Line(usize),
    /// One event.
    #[error("an event of the stream is longer than {0} bytes")]
    Event(usize),
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
            line_limit,
            event_limit,
        }
    }

    /// Takes bytes as they came and appends the events that they complete.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn feed(&mut self, mut bytes: &[u8], events: &mut Vec<Event>) -> Result<(), TooLong> {
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
            if self.line.len() + part.len() > self.line_limit {
                return Err(TooLong::Line(self.line_limit));
            }
            self.line.extend_from_slice(part);
            let Some(end) = end else { return Ok(()) };
            self.after_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            self.end_of_line(events)?;
        }
        Ok(())
    }

    fn end_of_line(&mut self, events: &mut Vec<Event>) -> Result<(), TooLong> {
        let line = std::mem::take(&mut self.line);
        let mut line = line.as_slice();
        if std::mem::replace(&mut self.at_start, false) {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if line.is_empty() {
            self.dispatch(events);
            return Ok(());
        }
        let (field, value) = match line.iter().position(|b| *b == b':') {
            Some(0) => return Ok(()),
            Some(at) => (&line[..at], line[at + 1..].strip_prefix(b" ").unwrap_or(&line[at + 1..])),
            None => (line, &b""[..]),
        };
        match field {
            b"event" => self.name = text(value).into_owned(),
            b"data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.has_data = true;
                self.data.push_str(&text(value));
                if self.data.len() > self.event_limit {
                    return Err(TooLong::Event(self.event_limit));
                }
            }
            // `id` and `retry` steer a browser's reconnect; ours has its own rules.
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, events: &mut Vec<Event>) {
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        if std::mem::take(&mut self.has_data) {
            let name = if name.is_empty() { "message".to_owned() } else { name };
            events.push(Event { name, data });
        }
    }
}

/// As text; nearly always it is, and that is fast to see.
fn text(value: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(value).map_or_else(|_| String::from_utf8_lossy(value), Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::{Decoder, Event, TooLong};

    fn decode(pieces: &[&[u8]]) -> Vec<Event> {
        let mut decoder = Decoder::new(64 << 10, 64 << 10);
        let mut events = Vec::new();
        for piece in pieces {
            decoder.feed(piece, &mut events).unwrap();
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

    #[test]
    fn a_line_and_an_event_have_their_limits() {
        let mut decoder = Decoder::new(8, 8);
        let mut events = Vec::new();
        assert_eq!(decoder.feed(b"data: 123", &mut events), Err(TooLong::Line(8)));
        let mut decoder = Decoder::new(8, 4);
        let fed = decoder.feed(b"data: 12\ndata: 34\n", &mut events);
        assert_eq!(fed, Err(TooLong::Event(4)));
    }
}
