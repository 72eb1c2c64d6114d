//! One answer on its way up: what is kept of it, and how far it was sent.

use super::kept_bytes::KeptBytes;
use crate::limits::TURN;
use bytes::{Bytes, BytesMut};
use std::task::Waker;
use wire::frames::{Kind, write_frame, write_head};
use wire::limits::{WINDOW, WINDOW_MAX};

/// An answer that the server has not finished.
#[derive(Debug)]
pub(super) struct Answer {
    accepted: Accepted,
    /// Payload of the head frame.
    head: Option<Vec<u8>>,
    head_is_sent: bool,
    pub(super) kept: KeptBytes,
    /// Position up to which the body was sent, on this uplink or on a confirmed one.
    sent: u64,
    /// The furthest position of `sent` so far.
    furthest: u64,
    /// Bytes that may be sent beyond the first kept one.
    window: u64,
    end: Option<End>,
    end_is_sent: bool,
    /// Reader of the backend's body, while it waits for room.
    pub(super) reader: Option<Waker>,
    /// It has a place in the outbox's queue.
    pub(super) is_queued: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accepted {
    Unsaid,
    Wanted,
    Sent,
}

/// The last frame of an answer.
#[derive(Debug)]
pub enum End {
    /// All of it was written.
    Complete,
    /// It failed; the payload of the frame.
    Failed(Vec<u8>),
}

impl Answer {
    pub(super) fn new() -> Self {
        Self {
            accepted: Accepted::Unsaid,
            head: None,
            head_is_sent: false,
            kept: KeptBytes::default(),
            sent: 0,
            furthest: 0,
            window: WINDOW,
            end: None,
            end_is_sent: false,
            reader: None,
            is_queued: false,
        }
    }

    pub(super) fn set_head(&mut self, payload: Vec<u8>) {
        self.head = Some(payload);
    }

    pub(super) fn push(&mut self, bytes: Bytes) {
        if self.end.is_none() {
            self.kept.push(bytes);
        }
    }

    /// Ends the answer behind the bytes so far; false if it has ended already.
    pub(super) fn set_end(&mut self, end: End) -> bool {
        let is_open = self.end.is_none();
        if is_open {
            self.end = Some(end);
        }
        is_open
    }

    /// Ends the answer without the rest of its bytes; false if its end was sent already. That is sent
    /// again then: a server that cancels may still wait for it.
    pub(super) fn stop(&mut self, failure: Vec<u8>) -> bool {
        if self.end_is_sent {
            self.end_is_sent = false;
            return false;
        }
        self.end = Some(End::Failed(failure));
        self.kept.drop_before(u64::MAX);
        self.sent = self.kept.end();
        true
    }

    /// Asks for an acknowledgement of its own if nothing was sent yet.
    pub(super) fn acknowledge(&mut self) {
        if self.accepted == Accepted::Unsaid && !self.head_is_sent && !self.end_is_sent {
            self.accepted = Accepted::Wanted;
        }
    }

    /// Applies a grant. One that goes back, or further than was sent, is not believed.
    pub(super) fn take(&mut self, position: u64, window: u64) {
        if position < self.kept.start() || position > self.furthest {
            return;
        }
        self.kept.drop_before(position);
        self.sent = self.sent.max(self.kept.start());
        self.window = window.min(WINDOW_MAX);
    }

    /// What was sent on the uplink may not have arrived: it is sent again.
    pub(super) fn send_again(&mut self) {
        self.sent = self.kept.start();
        (self.head_is_sent, self.end_is_sent) = (false, false);
        if self.accepted == Accepted::Sent {
            self.accepted = Accepted::Wanted;
        }
    }

    /// The bytes before this position have arrived.
    pub(super) fn resume(&mut self, position: u64) {
        if position <= self.furthest.min(self.kept.end()) {
            self.sent = position.max(self.kept.start());
        }
    }

    /// Bytes that may be read from the backend.
    pub(super) fn room(&self) -> usize {
        usize::try_from(self.window).unwrap_or(usize::MAX).saturating_sub(self.kept.len())
    }

    /// Bytes of the body that may be sent now.
    fn sendable(&self) -> usize {
        let limit = self.kept.end().min(self.kept.start() + self.window);
        usize::try_from(limit.saturating_sub(self.sent)).unwrap_or(usize::MAX)
    }

    /// True if a frame can be sent now.
    pub(super) fn is_ready(&self) -> bool {
        let head = self.head.is_some() && !self.head_is_sent;
        let end = self.end.is_some() && !self.end_is_sent && self.sent == self.kept.end();
        head || end || self.accepted == Accepted::Wanted || self.sendable() > 0
    }

    /// Appends its next frames: of its body at most [`TURN`] bytes.
    pub(super) fn write_turn(&mut self, task: u128, out: &mut BytesMut) {
        if let Some(head) = &self.head
            && !self.head_is_sent
        {
            write_frame(out, Kind::Head, task, 0, head);
            self.head_is_sent = true;
        } else if self.accepted == Accepted::Wanted {
            write_frame(out, Kind::Accepted, task, 0, &[]);
        }
        if self.accepted == Accepted::Wanted {
            self.accepted = Accepted::Sent;
        }
        let count = self.sendable().min(TURN);
        if count > 0 {
            write_head(out, Kind::Data, task, self.sent, count);
            self.kept.copy_to(out, self.sent, count);
            self.sent += count as u64;
            self.furthest = self.furthest.max(self.sent);
        }
        if self.end_is_sent || self.sent < self.kept.end() {
            return;
        }
        match &self.end {
            Some(End::Complete) => write_frame(out, Kind::End, task, 0, &[]),
            Some(End::Failed(failure)) => write_frame(out, Kind::Failed, task, 0, failure),
            None => return,
        }
        self.end_is_sent = true;
    }
}
