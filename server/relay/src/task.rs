//! One task: its phases, its deadlines, and the one way out of each phase.
//!
//! A task becomes terminal once (`Phase::Ended`). An ended task may still hold its slot: the slot is
//! given back when the publisher's work has ended too.

use crate::{Allowed, Limits, LlmId, Millis, SessionId};

/// Where a task stands. `Ended` is terminal for the caller.
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
    /// Over for the caller; the publisher may still be at it.
    Ended,
}

impl Phase {
    /// Whether it holds a slot (or did, until it is released).
    pub(crate) fn holds_slot(self) -> bool {
        self != Self::Queued
    }
}

/// One caller's request.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) llm: LlmId,
    pub(crate) phase: Phase,
    pub(crate) streaming: bool,
    /// Pool or name that the caller used, for a second choice.
    pub(crate) wanted: String,
    /// What its key may use: a second choice must be one of these too.
    pub(crate) allowed: Allowed,
    /// The caller's key.
    pub(crate) key: String,
    /// Waiting began (again) here: the queue's and the wake's time count from it.
    pub(crate) queued_at: Millis,
    /// Fails then if the publisher has not returned (after a server start).
    pub(crate) return_by: Option<Millis>,
    pub(crate) dispatched_at: Millis,
    pub(crate) ended_at: Millis,
    /// The session that it was dispatched to.
    pub(crate) session: Option<SessionId>,
    /// The publisher speaks protocol 2: it acknowledges, names its tasks, and stops on cancel.
    pub(crate) modern: bool,
    /// Last request that named the task.
    pub(crate) seen: Millis,
    /// Heartbeats in a row that did not name it.
    pub(crate) missed: u8,
    /// A byte went to the caller: the point of no return.
    pub(crate) delivered: bool,
    pub(crate) redispatched: u32,
    /// Next notice to the caller, when it wants any.
    pub(crate) notice_at: Option<Millis>,
    /// Where it stands in the timers.
    pub(crate) due: Option<Millis>,
}

/// What the relay knows of the task's surroundings when deadlines are computed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Surroundings {
    /// A wake of its LLM is under way.
    pub(crate) waking: bool,
    /// Its publisher's channel is open.
    pub(crate) connected: bool,
    /// Last request of its session, for publishers that do not name tasks.
    pub(crate) session_seen: Millis,
}

/// What has come due for a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// Tell the caller how things stand.
    Notice,
    /// Its publisher has not returned after the server's start.
    NotReturned,
    /// Waited too long for a slot.
    QueueTimeout,
    /// A caller that wants no stream waited long enough for a wake.
    WakeHold,
    /// No acknowledgement.
    AckTimeout,
    /// No byte of the answer.
    FirstByteTimeout,
    /// The answer takes too long.
    TotalTimeout,
    /// The publisher has not named it.
    Lost,
    /// Ended long ago and nobody names it: give the slot back.
    Release,
}

impl Task {
    /// The next thing that will come due, and when.
    pub(crate) fn next_due(&self, limits: &Limits, around: Surroundings) -> Option<(Millis, Due)> {
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
                if !around.waking {
                    at(self.queued_at + limits.queue_wait, Due::QueueTimeout);
                } else if !self.streaming {
                    at(self.queued_at + limits.wake_hold, Due::WakeHold);
                }
            }
            Phase::Dispatched => {
                if around.connected {
                    at(self.dispatched_at + limits.ack_wait, Due::AckTimeout);
                }
                at(self.lost_at(limits, around), Due::Lost);
            }
            Phase::Accepted => {
                at(self.dispatched_at + limits.first_byte, Due::FirstByteTimeout);
                at(self.lost_at(limits, around), Due::Lost);
            }
            Phase::Answering => {
                if !self.delivered {
                    at(self.dispatched_at + limits.first_byte, Due::FirstByteTimeout);
                }
                at(self.dispatched_at + limits.total, Due::TotalTimeout);
                at(self.lost_at(limits, around), Due::Lost);
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

    fn lost_at(&self, limits: &Limits, around: Surroundings) -> Millis {
        let wait = if around.connected { limits.lost } else { limits.lost_disconnected };
        if self.modern {
            self.seen + wait
        } else {
            // A protocol-1 publisher names no tasks: it is alive as long as its session is.
            self.seen.max(around.session_seen) + limits.lease
        }
    }

    /// When the slot of an ended task is given back at the latest. A modern publisher confirms or
    /// stops naming the task; an old one cannot stop, so its work may go on for the whole time.
    fn release_at(&self, limits: &Limits) -> Millis {
        if self.modern {
            self.seen.max(self.ended_at) + limits.lost
        } else {
            self.dispatched_at + limits.total
        }
    }
}
