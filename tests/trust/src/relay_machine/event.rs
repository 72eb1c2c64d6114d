//! The events, and how one is drawn.

use crate::choices::Choices;
use relay::GoneReason;
use wire::publisher::ReportedStatus;

/// Something that happens to the relay. Numbers choose among what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A publisher declares its set.
    Register {
        /// Which.
        who: usize,
        /// A bit per name.
        set: u8,
        /// Its backends sleep.
        asleep: bool,
        /// It speaks protocol 1.
        old: bool,
        /// With whom it shares its names.
        shares: usize,
        /// The session that it names.
        memory: Memory,
        /// It insists.
        takeover: bool,
        /// It has forgotten what runs.
        forgets: bool,
    },
    /// A publisher opens a control channel for a session, its own or another's.
    Open {
        /// Who asks.
        who: usize,
        /// Whose session.
        whose: usize,
    },
    /// A channel breaks.
    Close {
        /// Whose.
        who: usize,
    },
    /// A publisher's channel breaks and it comes back with what it had.
    Return {
        /// Which.
        who: usize,
        /// What was sent last has not reached it.
        forgets: bool,
    },
    /// A heartbeat.
    Beat {
        /// Whose.
        who: usize,
        /// How its backends are.
        status: ReportedStatus,
        /// It names no tasks.
        forgets: bool,
        /// It is of an older epoch.
        stale: bool,
    },
    /// A caller asks.
    Submit {
        /// For what.
        name: usize,
        /// Its key is for one model.
        narrow: bool,
        /// It wants a stream.
        streaming: bool,
    },
    /// A caller leaves.
    Leave {
        /// Which.
        task: Pick,
        /// How.
        reason: GoneReason,
    },
    /// A publisher acknowledges a task.
    Acknowledge {
        /// Which.
        task: Pick,
        /// Who says so; nobody in particular: whom it was sent to.
        who: Option<usize>,
    },
    /// A publisher begins to answer.
    Begin {
        /// Which.
        task: Pick,
        /// Who says so; nobody in particular: whom it was sent to.
        who: Option<usize>,
    },
    /// An upload ends.
    End {
        /// Which.
        task: Pick,
        /// How.
        end: Ending,
        /// It had ended already when it was told to stop.
        crosses: bool,
    },
    /// A publisher reports a failure.
    Fail {
        /// Which.
        task: Pick,
        /// Who says so; nobody in particular: whom it was sent to.
        who: Option<usize>,
        /// Why.
        code: &'static str,
    },
    /// The oldest wake ends.
    Woken {
        /// Who says so; nobody in particular: whom it was sent to.
        who: Option<usize>,
        /// It went well.
        well: bool,
    },
    /// Time goes by.
    Pass {
        /// So much.
        ms: u64,
    },
    /// The server stood still for so long.
    Gap {
        /// So long.
        ms: u64,
    },
    /// An owner may not publish any more.
    Revoke {
        /// Which.
        who: usize,
    },
    /// An admin shares a name.
    Share {
        /// Which.
        name: usize,
        /// With whom.
        with: usize,
    },
    /// An admin takes a name from its owner.
    Free {
        /// Which.
        name: usize,
    },
    /// The server begins to end.
    Drain,
    /// The server is killed and starts again.
    Restart,
}

/// One of the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick {
    /// Of those that are not forgotten yet.
    Open(usize),
    /// Of all, from the latest.
    Any(usize),
}

/// The session that a register names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// Its last one.
    Own,
    /// None.
    Lost,
    /// The one of the publisher after it.
    Others,
    /// Its last one, from another machine.
    Copied,
    /// One that never was.
    Invented,
}

/// How an upload ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Cleanly.
    Complete,
    /// It breaks off.
    Aborted,
    /// The backend falls silent.
    Silent,
}

const PUBLISHERS: usize = super::OWNERS.len();
/// Tasks that events choose among.
const TASKS: usize = 24;

impl Event {
    /// The next one.
    pub fn draw(choices: &mut Choices<'_>) -> Self {
        let who = choices.index(PUBLISHERS);
        let task = if choices.chance(15) {
            Pick::Any(choices.index(TASKS))
        } else {
            Pick::Open(choices.index(TASKS))
        };
        let by = choices.chance(15).then_some(who);
        match choices.below(40) {
            0..5 => {
                let whose = if choices.chance(5) { choices.index(PUBLISHERS) } else { who };
                Self::Open { who, whose }
            }
            5 => Self::Return { who, forgets: choices.chance(60) },
            6..9 => Self::register(choices, who),
            9..10 => Self::Close { who },
            10..13 => {
                use ReportedStatus::{Active, Hibernating, Inactive};
                let status = [Active, Active, Hibernating, Inactive][choices.index(4)];
                Self::Beat { who, status, forgets: choices.chance(30), stale: choices.chance(10) }
            }
            13..19 => Self::Submit {
                name: choices.index(super::SUBMITTED.len()),
                narrow: choices.chance(20),
                streaming: choices.chance(50),
            },
            19..21 => {
                use GoneReason::{Disconnected, Revoked, SlowConsumer};
                let reason = [Disconnected, SlowConsumer, Revoked][choices.index(3)];
                Self::Leave { task, reason }
            }
            21..24 => Self::Acknowledge { task, who: by },
            24..28 => Self::Begin { task, who: by },
            28..31 => {
                let end = [Ending::Complete, Ending::Aborted, Ending::Silent][choices.index(3)];
                Self::End { task, end, crosses: choices.chance(30) }
            }
            31..33 => {
                use wire::error::Code::{BackendUnreachable, StoppedByOwner};
                let code = [BackendUnreachable.as_str(), StoppedByOwner.as_str(), "cancelled"]
                    [choices.index(3)];
                Self::Fail { task, who: by, code }
            }
            33..35 => Self::Woken { who: by, well: choices.chance(60) },
            35..38 => Self::Pass { ms: choices.between(1, 40_000) },
            38 => Self::Gap { ms: choices.between(1, 200_000) },
            _ => match choices.below(12) {
                0 => Self::Drain,
                1 | 2 => Self::Restart,
                3 => Self::Revoke { who },
                4 | 5 => {
                    let name = choices.index(super::SHARED.len());
                    Self::Share { name, with: choices.index(super::SHARES.len()) }
                }
                6 => Self::Free { name: choices.index(super::SHARED.len()) },
                // A night.
                _ => Self::Pass { ms: choices.between(1, 6 * 3_600_000) },
            },
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
            memory: memories[choices.index(memories.len())],
            takeover: choices.chance(10),
            forgets: choices.chance(30),
        }
    }
}
