//! Events of a control channel, as an event stream and a long poll have them.

use bytes::Bytes;
use serde::Serialize;
use wire::control::{Revoked, event};
use wire::limits::SSE_LINE;
use wire::sse::{EVENT_END, write_event_start};

/// One event of a control channel.
#[derive(Debug, Clone)]
pub(super) struct Event {
    /// The `event:` field.
    pub(super) name: &'static str,
    /// The `data:` field: one line, in pieces.
    pub(super) data: Vec<Bytes>,
    /// True if the channel ends after this event.
    pub(super) last: bool,
}

impl Event {
    /// An event with this data as JSON.
    pub(super) fn new<T: Serialize>(name: &'static str, data: &T) -> Self {
        let data = serde_json::to_string(data).unwrap_or_default();
        Self { name, data: vec![data.into()], last: false }
    }

    /// The last event of a channel.
    pub(super) fn last<T: Serialize>(name: &'static str, data: &T) -> Self {
        Self { last: true, ..Self::new(name, data) }
    }

    /// The last event of a channel whose token is no longer valid.
    pub(super) fn revoked(reason: &str) -> Self {
        Self::last(event::REVOKED, &Revoked { reason: reason.to_owned() })
    }

    /// Bytes of the data.
    pub(super) fn len(&self) -> usize {
        self.data.iter().map(Bytes::len).sum()
    }

    /// Appends the encoded event: `out` and then `text` are what is sent next. Large pieces are
    /// moved to `out` without a copy.
    pub(super) fn write(self, out: &mut Vec<Bytes>, text: &mut String) {
        write_event_start(text, self.name);
        for piece in self.data {
            if piece.len() <= SSE_LINE
                && let Ok(piece) = std::str::from_utf8(&piece)
            {
                text.push_str(piece);
            } else {
                out.push(std::mem::take(text).into());
                out.push(piece);
            }
        }
        text.push_str(EVENT_END);
    }

    /// The data as text.
    pub(super) fn text(&self) -> String {
        self.data.iter().map(|piece| String::from_utf8_lossy(piece)).collect()
    }
}
