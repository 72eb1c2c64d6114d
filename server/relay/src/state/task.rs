//! One task: its phases and its deadlines.
//!
//! A task becomes terminal once ([`Phase::Ended`]). An ended task holds its slot until the
//! publisher's work has ended too.

use crate::{Allowed, Limits, LlmId, Millis, SessionId};

/// The stages of a task, in order. `Ended` is terminal for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Waits for a slot, a wake or a publisher.
    Queued,
    /// Sent down the channel.
    Dispatched,
    /// The publisher has it.
    Accepted,
    /// The publisher answers.
    Answering,
    /// Over for the caller; the publisher may still work on it.
    Ended,
}

/// A request of which a task is made.
#[derive(Debug)]
pub(crate) struct NewTask {
    /// Pool or name that the caller used, in lower case.
    pub(crate) wanted: String,
    /// The LLMs that its key may use.
    pub(crate) allowed: Allowed,
    /// The caller's key.
    pub(crate) key: String,
    /// The caller asked for a stream.
    pub(crate) streaming: bool,
    /// See [`Task::return_by`].
    pub(crate) return_by: Option<Millis>,
    /// See [`Task::notice_at`].
    pub(crate) notice_at: Option<Millis>,
}

/// One caller's request. Where it waits or runs changes through [`super::Tasks`] only.
#[derive(Debug)]
pub(crate) struct Task {
    pub(super) llm: LlmId,
    pub(super) phase: Phase,
    /// The session that it was dispatched to.
    pub(super) session: Option<SessionId>,
    /// Its entry in the timers.
    pub(super) due: Option<Millis>,
    /// Its publisher acknowledges tasks, names them, and stops them on request.
    pub(super) speaks_v2: bool,
    /// Waiting began (again) here: the queue's and the wake's time count from it.
    pub(super) queued_at: Millis,
    pub(super) dispatched_at: Millis,
    pub(super) ended_at: Millis,
    /// Number of dispatches after its first.
    pub(super) redispatched: u32,
    /// Fails then if the publisher has not returned (after a server start).
    pub(super) return_by: Option<Millis>,
    /// Last request that named the task.
    pub(super) seen: Millis,
    /// Heartbeats in a row that did not name it.
    missed: u8,
    wanted: String,
    allowed: Allowed,
    key: String,
    streaming: bool,
    /// A byte went to the caller: it cannot be sent again.
    pub(crate) delivered: bool,
    /// Time of the next notice to the caller, if it takes any.
    pub(crate) notice_at: Option<Millis>,
}

/// Conditions outside of a task on which its deadlines depend.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conditions {
    /// A wake of its LLM is under way.
    pub(crate) waking: bool,
    /// Its publisher's channel is open: an acknowledgement can be expected.
    pub(crate) channel_open: bool,
    /// Its publisher is not missed: its channel is open, or the server has sent it away.
    pub(crate) connected: bool,
    /// Last request of its session, for publishers that do not name tasks.
    pub(crate) session_seen: Millis,
}

/// A deadline of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Its caller gets a notice.
    Notice,
    /// Its publisher has not returned after the server's start.
    NotReturned,
    /// Waited too long for a slot.
    QueueTimeout,
    /// A request without a stream waited too long for a wake.
    WakeHold,
    /// No acknowledgement.
    AckTimeout,
    /// No byte of the response.
    FirstByteTimeout,
    /// The response takes too long.
    TotalTimeout,
    /// The publisher has not named it.
    Lost,
    /// Ended long ago and no heartbeat names it: the slot is given back.
    Release,
}

impl Task {
    pub(super) fn queued(llm: LlmId, new: NewTask, now: Millis) -> Self {
        Self {
            llm,
            phase: Phase::Queued,
            session: None,
            due: None,
            speaks_v2: false,
            queued_at: now,
            dispatched_at: 0,
            ended_at: 0,
            redispatched: 0,
            return_by: new.return_by,
            seen: now,
            missed: 0,
            wanted: new.wanted,
            allowed: new.allowed,
            key: new.key,
            streaming: new.streaming,
            delivered: false,
            notice_at: new.notice_at,
        }
    }

    /// The LLM at which it waits or runs.
    pub(crate) fn llm(&self) -> LlmId {
        self.llm
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// The session that it was dispatched to.
    pub(crate) fn session(&self) -> Option<SessionId> {
        self.session
    }

    /// True if its publisher acknowledges tasks, names them, and stops them on request.
    pub(crate) fn speaks_v2(&self) -> bool {
        self.speaks_v2
    }

    /// Number of dispatches after its first.
    pub(crate) fn redispatched(&self) -> u32 {
        self.redispatched
    }

    /// The name of an LLM or pool that the caller used.
    pub(crate) fn wanted(&self) -> &str {
        &self.wanted
    }

    /// The LLMs that its caller's key may use.
    pub(crate) fn allowed(&self) -> &Allowed {
        &self.allowed
    }

    /// Its caller's key.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Its publisher has named it.
    pub(crate) fn mark_seen(&mut self, now: Millis) {
        self.seen = now;
        self.missed = 0;
    }

    /// Bytes of its response have arrived.
    pub(crate) fn mark_progress(&mut self, now: Millis) {
        self.seen = now;
    }

    /// A heartbeat did not name it; true if that makes it lost.
    pub(crate) fn mark_missed(&mut self) -> bool {
        self.missed = self.missed.saturating_add(1);
        self.missed >= 2 && self.speaks_v2
    }

    /// The next deadline.
    pub(crate) fn next_due(&self, limits: &Limits, now: Conditions) -> Option<(Millis, Due)> {
        let mut first: Option<(Millis, Due)> = None;
        let mut at = |when: Millis, what: Due| {
            if first.is_none_or(|(earliest, _)| when < earliest) {
                first = Some((when, what));
            }
        };
        match self.phase {
            Phase::Queued => {
                if let Some(when) = self.return_by {
                    at(when, Due::NotReturned);
                }
                if !now.waking {
                    at(self.queued_at + limits.queue_wait, Due::QueueTimeout);
                } else if !self.streaming {
                    at(self.queued_at + limits.wake_hold, Due::WakeHold);
                }
            }
            Phase::Dispatched => {
                if now.channel_open {
                    at(self.dispatched_at + limits.ack_wait, Due::AckTimeout);
                }
                at(self.lost_at(limits, now), Due::Lost);
            }
            Phase::Accepted => {
                at(self.dispatched_at + limits.first_byte, Due::FirstByteTimeout);
                at(self.lost_at(limits, now), Due::Lost);
            }
            Phase::Answering => {
                if !self.delivered {
                    at(self.dispatched_at + limits.first_byte, Due::FirstByteTimeout);
                }
                at(self.dispatched_at + limits.total, Due::TotalTimeout);
                at(self.lost_at(limits, now), Due::Lost);
            }
            Phase::Ended => at(self.release_at(limits), Due::Release),
        }
        if let (Some(when), false, false) =
            (self.notice_at, self.delivered, self.phase == Phase::Ended)
        {
            at(when, Due::Notice);
        }
        first
    }

    fn lost_at(&self, limits: &Limits, now: Conditions) -> Millis {
        let wait = if now.connected { limits.lost } else { limits.lost_disconnected };
        if self.speaks_v2 {
            self.seen + wait
        } else {
            // A protocol-1 publisher names no tasks: it is alive as long as its session is.
            self.seen.max(now.session_seen) + limits.lease
        }
    }

    /// When the slot of an ended task is given back at the latest. A protocol-2 publisher confirms
    /// or stops naming the task; another one cannot stop, so its work may go on for the whole time.
    fn release_at(&self, limits: &Limits) -> Millis {
        if self.speaks_v2 {
            self.seen.max(self.ended_at) + limits.lost
        } else {
            self.dispatched_at + limits.total
        }
    }
}
