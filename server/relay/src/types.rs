//! What goes into the relay and what comes out of it.

use crate::{ChannelId, LlmId, Millis, OwnerId, SessionId, TaskId};
use wire::catalogue::LlmInfo;
use wire::error::Code;
use wire::publisher::{Instance, Provider};

/// Effects for the driver, in order.
pub type Actions = Vec<Action>;

/// One effect. The driver performs them in order and never fails: a channel that cannot take a
/// frame is reported back with [`crate::Relay::channel_closed`].
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Send the request kept under `task` down a channel.
    Dispatch(Dispatch),
    /// Send a wake task down a channel.
    Wake {
        /// Where to.
        channel: ChannelId,
        /// The wake's own task id.
        task: TaskId,
        /// Name at the publisher.
        llm_name: String,
        /// For the publisher's information.
        max_wait_secs: u64,
    },
    /// Send `cancel`.
    Cancel {
        /// Where to.
        channel: ChannelId,
        /// Which.
        task: TaskId,
        /// For the publisher's log.
        reason: CancelReason,
    },
    /// Send a last event and end the channel's response.
    CloseChannel {
        /// Which.
        channel: ChannelId,
        /// The last event.
        last: LastEvent,
    },
    /// Send `drain` and leave the channel open.
    Drain {
        /// Which.
        channel: ChannelId,
        /// For the publisher.
        reconnect_after_ms: u64,
    },
    /// Tell a waiting caller how things stand (a comment in its stream).
    Notice {
        /// Whose.
        task: TaskId,
        /// What.
        notice: Notice,
    },
    /// The task has failed: end the caller's response with this error. Terminal, once per task.
    /// Before the first byte it is an HTTP error, after it an error event.
    Fail {
        /// Whose.
        task: TaskId,
        /// What to say.
        failure: Failure,
    },
    /// The answer is complete: the caller's response may end cleanly. Terminal, once per task.
    Complete {
        /// Whose.
        task: TaskId,
    },
    /// Stop reading the publisher's upload of this task, if one is open: answer it 410.
    StopUpload {
        /// Which.
        task: TaskId,
    },
    /// The task is terminal and its slot is given back: forget what is kept under its id.
    Forget {
        /// Which.
        task: TaskId,
    },
    /// The row changed in what a restart must know, or is gone.
    SaveLlm(LlmId),
    /// The session changed in what a restart must know, or is gone.
    SaveSession(SessionId),
    /// The name changed in what a restart must know, or is free.
    SaveName(String),
    /// A register does not name this row any more. Nothing is to be done.
    Withdrawn {
        /// Normalised.
        name: String,
    },
}

/// Inside of [`Action::Dispatch`].
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatch {
    /// Where to.
    pub channel: ChannelId,
    /// Which.
    pub task: TaskId,
    /// The epoch it belongs to.
    pub epoch: u64,
    /// What the publisher speaks.
    pub protocol: u32,
    /// Name at the publisher.
    pub llm_name: String,
    /// The backend's own model id, for a protocol-1 publisher's body.
    pub model: Option<String>,
    /// How often this task was sent before.
    pub attempt: u32,
}

/// Last event of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastEvent {
    /// A newer channel or register took over.
    Superseded,
    /// The token is no longer valid.
    Revoked(String),
    /// Nothing: the session is gone.
    None,
}

/// What a waiting caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Position in the queue, from 1.
    Queued(usize),
    /// Seconds since the wake began, and how long wakes took lately.
    Waking {
        /// So far.
        elapsed_secs: u64,
        /// Learned, or the recipe's bound when nothing is learned.
        expected_secs: u64,
    },
    /// Dispatched; the backend has not answered yet.
    Running,
}

/// A failure as the caller sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Why, for programs.
    pub code: Code,
    /// HTTP status while no byte has been sent.
    pub status: u16,
    /// What failed, why, and what to do.
    pub message: String,
    /// `Retry-After`, in seconds.
    pub retry_after_secs: Option<u64>,
}

/// Who publishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Ownership goes by this.
    pub id: OwnerId,
    /// Shown in the catalogue.
    pub label: String,
    /// Groups of the user, for names that are shared with `group:<group>`.
    pub groups: Vec<String>,
}

/// Who sends a request that names a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSender {
    /// The token's user.
    pub owner: OwnerId,
    /// The session header; a protocol-1 publisher may leave it out.
    pub session: Option<SessionId>,
}

/// A control channel was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Its number.
    pub channel: ChannelId,
    /// For `hello`.
    pub epoch: u64,
    /// For `hello`.
    pub protocol: u32,
}

/// A caller's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submit {
    /// LLM or pool, as the caller wrote it; `NAME@user` means the one that this user serves.
    pub name: String,
    /// The caller's key: how much of a queue it may fill goes by it.
    pub key: String,
    /// Whether the caller may use a row of this name; asked for LLM names and pool names.
    pub allowed: Allowed,
    /// The caller asked for a stream.
    pub streaming: bool,
    /// Notices are welcome.
    pub notices: bool,
}

/// Which LLMs a caller's token may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed {
    /// Scope `infer`.
    All,
    /// Not all.
    Some {
        /// Scopes `infer:<name>`, normalised names of LLMs or pools.
        names: Vec<String>,
        /// Scope `publish`: what this user publishes.
        own: Option<OwnerId>,
    },
}

impl Allowed {
    /// LLMs and pools of these names.
    #[must_use]
    pub fn names(names: Vec<String>) -> Self {
        Self::Some { names, own: None }
    }

    /// Whether it covers this LLM, by its name, its pool's or its owner.
    #[must_use]
    pub fn covers(&self, name: &str, pool: Option<&str>, owner: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some { names, own } => {
                own.as_ref().is_some_and(|own| *own.0 == *owner)
                    || names.iter().any(|n| n == name || pool == Some(n))
            }
        }
    }
}

/// How the publisher's work on a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerEnd {
    /// The upload ended cleanly and the caller got all of it.
    Complete,
    /// The upload broke off or its connection died.
    Aborted,
    /// The backend fell silent for too long.
    Silent,
    /// The upload was stopped by us (410): the caller is gone or the task failed before.
    Stopped,
}

/// Why a caller is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoneReason {
    /// Its connection closed.
    Disconnected,
    /// It did not read for too long.
    SlowConsumer,
    /// Its token was revoked.
    Revoked,
}

/// Why a publisher's work is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReason {
    /// The caller is gone.
    Caller(GoneReason),
    /// The task failed for its caller.
    Failed(Code),
}

impl CancelReason {
    /// The word in the event `cancel`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Caller(GoneReason::Disconnected) => "caller_gone",
            Self::Caller(GoneReason::SlowConsumer) => "slow_consumer",
            Self::Caller(GoneReason::Revoked) => "token_revoked",
            Self::Failed(code) => code.as_str(),
        }
    }
}

/// Why a register was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterRefusal {
    /// 400: names the field.
    #[error("{0}")]
    Invalid(String),
    /// 409: the session is another owner's, or another instance's that is connected.
    #[error("another machine holds this session; stop it there, or take it over from here")]
    SessionConflict,
    /// 429: all sessions of the owner are connected.
    #[error("one user has at most {0} machines connected; stop one of them")]
    TooManySessions(usize),
    /// 503.
    #[error("the server is shutting down; try again in a moment")]
    Draining,
}

/// Why an admin's change of a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameRefusal {
    /// 404.
    #[error("no such name; see the list of names")]
    Unknown,
    /// 400.
    #[error("{0}")]
    Invalid(String),
}

/// Why a request of a session was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionRefusal {
    /// 404: unknown, expired or foreign; register again.
    #[error("no such provider session; register again")]
    Unknown,
    /// 409.
    #[error("a newer register replaced this one")]
    StaleEpoch,
}

/// Why a request that names a task was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TaskRefusal {
    /// 404: unknown or foreign, the same answer for both.
    #[error("no such task")]
    Unknown,
    /// 409: answered before.
    #[error("this task has been answered already")]
    Answered,
    /// 410: cancelled or expired; stop the backend.
    #[error("nobody waits for this task any more; stop it")]
    Gone,
}

/// Why a caller's request was refused at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmitRefusal {
    /// 404, with the names that the caller may use.
    NotFound {
        /// Sorted, at most 50.
        usable: Vec<String>,
    },
    /// Any other, ready for the caller.
    Failure(Failure),
}

/// One row for the caller's or the owner's eyes.
#[derive(Debug, Clone, PartialEq)]
pub struct LlmView {
    /// Whose it is.
    pub owner: OwnerId,
    /// As it goes on the wire.
    pub info: LlmInfo,
}

/// Numbers of the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Rows in the catalogue.
    pub llms: usize,
    /// Names that belong to a user.
    pub names: usize,
    /// Sessions known.
    pub sessions: usize,
    /// Channels open.
    pub channels: usize,
    /// Tasks that wait.
    pub queued: usize,
    /// Tasks that hold a slot.
    pub running: usize,
    /// Wakes under way.
    pub waking: usize,
}

/// What an earlier run left.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Saved {
    /// Rows.
    pub llms: Vec<SavedLlm>,
    /// Sessions.
    pub sessions: Vec<SavedSession>,
    /// Names.
    pub names: Vec<SavedName>,
}

/// A row as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedLlm {
    /// Stays.
    pub id: LlmId,
    /// Owner.
    pub owner: Owner,
    /// Session that published it.
    pub session: SessionId,
    /// What was declared.
    pub provider: Provider,
    /// When the row was made.
    pub created: Millis,
    /// When its publisher was last seen.
    pub last_seen: Millis,
    /// Learned wake time.
    pub wake_ms: Option<u64>,
}

/// A session as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedSession {
    /// The id that the publisher keeps on its disk.
    pub id: SessionId,
    /// Owner.
    pub owner: Owner,
    /// Machine.
    pub instance: Option<Instance>,
    /// Last epoch.
    pub epoch: u64,
    /// When it was last seen.
    pub last_seen: Millis,
}

/// A name as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedName {
    /// Normalised.
    pub name: String,
    /// Owner.
    pub owner: OwnerId,
    /// With whom its owner shares it.
    pub shared_by_owner: Vec<String>,
    /// With whom an admin shares it.
    pub shared_by_admin: Vec<String>,
    /// A request was answered under it.
    pub served: bool,
    /// No row uses it; it is its owner's until then.
    pub reserved_until: Option<Millis>,
}
