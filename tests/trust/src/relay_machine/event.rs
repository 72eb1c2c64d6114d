//! The events of the relay, and how they are drawn.

use crate::choices::Choices;
use relay::GoneReason;
use wire::publisher::ReportedStatus;

/// An event for the relay. Numbers choose among what exists when it is applied. `who` is a
/// publisher; where it is optional, `None` means the publisher that the task was sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A publisher registers.
    Register {
        /// The publisher.
        who: usize,
        /// Its models, one bit per name.
        set: u8,
        /// True if its backends are hibernating.
        asleep: bool,
        /// True if it speaks protocol 1.
        old: bool,
        /// The users with whom it shares its names.
        shares: usize,
        /// True if its key is of a group.
        grouped: bool,
        /// True if its models are in no pool.
        alone: bool,
        /// The session that it names.
        memory: Memory,
        /// True if it takes the session over.
        takeover: bool,
        /// True if it names no running tasks.
        forgets: bool,
    },
    /// A publisher opens a control channel.
    Open {
        /// The publisher.
        who: usize,
        /// The publisher whose session it names.
        whose: usize,
    },
    /// A control channel breaks.
    Close {
        /// The publisher.
        who: usize,
    },
    /// A publisher's channel breaks; it registers as before and opens a channel.
    Return {
        /// The publisher.
        who: usize,
        /// True if it names no running tasks.
        forgets: bool,
    },
    /// A publisher sends a heartbeat.
    Heartbeat {
        /// The publisher.
        who: usize,
        /// The state of its backends.
        status: ReportedStatus,
        /// True if it names no running tasks.
        forgets: bool,
        /// True if it names an older epoch.
        stale: bool,
    },
    /// A caller sends a request.
    Submit {
        /// The requested name.
        name: usize,
        /// True if its key covers some models only.
        narrow: bool,
        /// True if it wants a stream.
        streaming: bool,
    },
    /// A caller leaves.
    Leave {
        /// Its task.
        task: Pick,
        /// The reason.
        reason: GoneReason,
    },
    /// A publisher acknowledges a task.
    Acknowledge {
        /// The task.
        task: Pick,
        /// The publisher.
        who: Option<usize>,
    },
    /// A publisher begins an answer: frame `head`, or of protocol 1 the first result.
    Head {
        /// The task.
        task: Pick,
        /// The publisher.
        who: Option<usize>,
    },
    /// Bytes of an answer arrive; the first ones deliver it.
    Data {
        /// The task.
        task: Pick,
    },
    /// An answer ends.
    End {
        /// The task.
        task: Pick,
        /// The way it ends.
        end: Ending,
    },
    /// A publisher of protocol 1 ends its work on a task that is over for its caller.
    WorkEnd {
        /// The task.
        task: Pick,
        /// The publisher.
        who: Option<usize>,
    },
    /// A publisher reports a failure.
    Fail {
        /// The task.
        task: Pick,
        /// The publisher.
        who: Option<usize>,
        /// The failure code.
        code: &'static str,
    },
    /// The oldest wake ends.
    WakeEnd {
        /// The publisher.
        who: Option<usize>,
        /// True if the backend is awake.
        succeeds: bool,
    },
    /// Many publishers of nothing register.
    Crowd {
        /// Their number.
        size: usize,
    },
    /// Time passes.
    Pass {
        /// Milliseconds.
        ms: u64,
    },
    /// Time passes in which all publishers send heartbeats.
    Work {
        /// Their number.
        beats: usize,
    },
    /// The whole server stands still.
    Gap {
        /// Milliseconds.
        ms: u64,
    },
    /// The last publishing key of an owner is revoked.
    Revoke {
        /// A publisher of the owner.
        who: usize,
    },
    /// An admin shares a name.
    Share {
        /// The name.
        name: usize,
        /// The users.
        with: usize,
    },
    /// An admin frees a name.
    Free {
        /// The name.
        name: usize,
    },
    /// The server starts to drain.
    Drain,
    /// The server is killed and starts again.
    Restart,
}

/// Chooses a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// One of those that the relay still holds.
    Open(usize),
    /// One of all, counted from the latest.
    Any(usize),
}

/// The session that a register names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// The publisher's latest session.
    Own,
    /// None.
    Lost,
    /// The session of the next publisher.
    Others,
    /// The publisher's latest session, from another machine.
    Copied,
    /// A session that never existed.
    Invented,
}

/// How an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All of it has arrived: frame `end`, or of protocol 1 the last result.
    Complete,
    /// By an invalid frame, or of protocol 1 by a request that breaks off.
    Broken,
    /// No bytes for too long.
    Silent,
}

const PUBLISHERS: usize = super::OWNERS.len();
/// More heartbeats than a response may take time for.
const MOST_BEATS: usize = 120;
/// Number of tasks that an event chooses among.
const TASKS: usize = 24;
const STATUSES: [ReportedStatus; 4] = [
    ReportedStatus::Active,
    ReportedStatus::Active,
    ReportedStatus::Hibernating,
    ReportedStatus::Inactive,
];
const REASONS: [GoneReason; 3] =
    [GoneReason::Disconnected, GoneReason::SlowConsumer, GoneReason::Revoked];
const ENDINGS: [Ending; 4] = [Ending::Complete, Ending::Complete, Ending::Broken, Ending::Silent];
const FAILURES: [&str; 7] = [
    "backend_unreachable",
    "backend_unreachable",
    "backend_unreachable",
    "stopped_by_owner",
    "cancelled",
    "backend_aborted",
    "unpublished",
];

impl Event {
    /// Draws the next event.
    pub fn draw(choices: &mut Choices<'_>) -> Self {
        let who = choices.index(PUBLISHERS);
        let task = if choices.chance(15) {
            Pick::Any(choices.index(TASKS))
        } else {
            Pick::Open(choices.index(TASKS))
        };
        let by = choices.chance(15).then_some(who);
        match choices.below(43) {
            0..5 => {
                let whose = if choices.chance(5) { choices.index(PUBLISHERS) } else { who };
                Self::Open { who, whose }
            }
            5 => Self::Return { who, forgets: choices.chance(60) },
            6..9 => Self::register(choices, who),
            9 => Self::Close { who },
            10..13 => {
                let status = STATUSES[choices.index(STATUSES.len())];
                let (forgets, stale) = (choices.chance(30), choices.chance(10));
                Self::Heartbeat { who, status, forgets, stale }
            }
            13..19 => Self::Submit {
                name: choices.index(super::SUBMITTED.len()),
                narrow: choices.chance(20),
                streaming: choices.chance(50),
            },
            19..21 => Self::Leave { task, reason: REASONS[choices.index(REASONS.len())] },
            21..24 => Self::Acknowledge { task, who: by },
            24..27 => Self::Head { task, who: by },
            27 | 39 => Self::Data { task },
            28..31 => Self::End { task, end: ENDINGS[choices.index(ENDINGS.len())] },
            31..33 => Self::Fail { task, who: by, code: FAILURES[choices.index(FAILURES.len())] },
            33..35 => Self::WakeEnd { who: by, succeeds: choices.chance(60) },
            35..38 => Self::Pass { ms: choices.between(1, 40_000) },
            38 => Self::Gap { ms: choices.between(1, 200_000) },
            40 => Self::WorkEnd { task, who: by },
            _ => Self::rare(choices, who),
        }
    }

    fn register(choices: &mut Choices<'_>, who: usize) -> Self {
        use Memory::{Copied, Invented, Lost, Others, Own};
        let memories = [Own, Own, Own, Own, Own, Lost, Others, Copied, Invented];
        Self::Register {
            who,
            set: u8::try_from(choices.below(8)).unwrap_or_default(),
            asleep: choices.chance(40),
            old: choices.chance(20),
            shares: choices.index(super::SHARES.len()),
            grouped: choices.chance(50),
            alone: choices.chance(15),
            memory: memories[choices.index(memories.len())],
            takeover: choices.chance(10),
            forgets: choices.chance(30),
        }
    }

    fn rare(choices: &mut Choices<'_>, who: usize) -> Self {
        match choices.below(20) {
            0 => Self::Drain,
            1 | 2 => Self::Restart,
            3 => Self::Revoke { who },
            4..7 => Self::Share {
                name: choices.index(super::ADMIN_NAMES.len()),
                with: choices.index(super::SHARES.len()),
            },
            7..11 => Self::Free { name: choices.index(super::ADMIN_NAMES.len()) },
            11 => Self::Crowd { size: choices.index(2 * super::CROWD) },
            12..15 => Self::Work { beats: choices.index(MOST_BEATS) },
            // A long pause.
            _ => Self::Pass { ms: choices.between(1, 2 * super::DELETION) },
        }
    }
}
