//! Frames that wait in a control channel's queue, and the events of the channel.
//!
//! A waiting frame is a small value. The text of a task is encoded in the channel's own task
//! (`publishers::task_event`), not under the driver's lock.

use super::CallerRequest;
use bytes::Bytes;
use relay::{CancelReason, Dispatch, LastEvent, Opened, SessionId, TaskId};
use serde::Serialize;
use std::sync::Arc;
use wire::control::{Cancel, Drain, Hello, Revoked, Task, WakeTask, event};
use wire::limits::SSE_LINE;
use wire::sse::{EVENT_END, write_event_start};

/// A frame in a channel's queue.
pub(crate) enum Frame {
    /// An encoded event.
    Event(Event),
    /// A task that is encoded when it is sent.
    Task(Box<Dispatch>, Arc<CallerRequest>),
}

/// One event of a control channel.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// The `event:` field.
    pub(crate) name: &'static str,
    /// The `data:` field: one line, in pieces.
    pub(crate) data: Vec<Bytes>,
    /// True if the channel ends after this event.
    pub(crate) last: bool,
}

impl Event {
    /// An event with this data as JSON.
    pub(crate) fn new<T: Serialize>(name: &'static str, data: &T) -> Self {
        let data = serde_json::to_string(data).unwrap_or_default();
        Self { name, data: vec![data.into()], last: false }
    }

    /// The channel's last event, for a token that is no longer valid.
    pub(crate) fn revoked(reason: &str) -> Self {
        let revoked = Self::new(event::REVOKED, &Revoked { reason: reason.to_owned() });
        Self { last: true, ..revoked }
    }

    /// Bytes of the data.
    pub(crate) fn len(&self) -> usize {
        self.data.iter().map(Bytes::len).sum()
    }

    /// Appends the encoded event: `out` and then `text` are what is sent next. Large pieces are
    /// moved to `out` without a copy.
    pub(crate) fn write(self, out: &mut Vec<Bytes>, text: &mut String) {
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
    pub(crate) fn text(&self) -> String {
        self.data.iter().map(|piece| String::from_utf8_lossy(piece)).collect()
    }
}

impl From<Event> for Frame {
    fn from(event: Event) -> Self {
        Self::Event(event)
    }
}

pub(super) fn hello(opened: &Opened, session: SessionId, heartbeat_ms: u64) -> Frame {
    let hello = Hello {
        protocol: opened.protocol,
        epoch: opened.epoch,
        provider_session_id: session.to_string(),
        heartbeat_seconds: heartbeat_ms.div_ceil(1000),
    };
    Event::new(event::HELLO, &hello).into()
}

pub(super) fn wake(task: TaskId, llm_name: String, max_wait_seconds: u64) -> Frame {
    let wake = WakeTask { task_id: task.to_string(), llm_name, max_wait_seconds };
    Event::new(event::TASK, &Task::Wake(wake)).into()
}

pub(super) fn cancel(task: TaskId, reason: CancelReason) -> Frame {
    let reason = reason.as_str().to_owned();
    Event::new(event::CANCEL, &Cancel { task_id: task.to_string(), reason }).into()
}

pub(super) fn drain(reconnect_after_ms: u64) -> Frame {
    Event::new(event::DRAIN, &Drain { reconnect_after_ms }).into()
}

pub(super) fn last(last: &LastEvent) -> Option<Frame> {
    let last = match last {
        LastEvent::Superseded => Event::new(event::SUPERSEDED, &serde_json::json!({})),
        LastEvent::Revoked(reason) => Event::revoked(reason),
        LastEvent::None => return None,
    };
    Some(Event { last: true, ..last }.into())
}
