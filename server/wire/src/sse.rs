//! Codec for event streams (`text/event-stream`, WHATWG HTML, "Server-sent events"): bytes in and
//! out, no I/O.
//!
//! [`Decoder`] reads a stream piece by piece within limits; [`write_event`] and [`write_comment`]
//! write one. `id` and `retry` fields are ignored: reconnecting follows rules of its own.

mod decode;
mod encode;

pub use decode::{Decoder, Limit, Sink, TooLong};
pub use encode::{EVENT_END, write_comment, write_event, write_event_start};

/// One dispatched event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `message` if the stream names none.
    pub name: String,
    /// The data lines, joined by line feeds.
    pub data: String,
}

/// A decoded event, or the report of one that exceeded a limit and was skipped.
pub type Decoded = Result<Event, TooLong>;

/// A part of an event stream, for readers that show comments too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An event.
    Event(Decoded),
    /// The text of a comment line, for example a note that the request is still waiting.
    Comment(String),
}
