//! Effects that the driver performs.

use crate::{ChannelId, GoneReason, LlmId, SessionId, TaskId};
use wire::error::Code;

/// Effects for the driver, in order.
pub type Actions = Vec<Action>;

/// One effect. Performing it cannot fail: a channel that cannot take a frame is reported back with
/// [`crate::Relay::channel_closed`].
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Send a caller's request down a channel.
    Dispatch(Dispatch),
    /// Send a wake task down a channel.
    Wake {
        /// Its publisher's channel.
        channel: ChannelId,
        /// The wake's own task id.
        task: TaskId,
        /// The LLM's name as its publisher wrote it.
        llm_name: String,
        /// Time limit of the recipe, in seconds.
        max_wait_secs: u64,
    },
    /// Send `cancel` down a channel.
    Cancel {
        /// Its publisher's channel.
        channel: ChannelId,
        /// The task to stop.
        task: TaskId,
        /// For the publisher's log.
        reason: CancelReason,
    },
    /// Send a last event and end the channel's response.
    CloseChannel {
        /// The channel.
        channel: ChannelId,
        /// Its last event.
        last: LastEvent,
    },
    /// Send `drain` and leave the channel open.
    Drain {
        /// The channel.
        channel: ChannelId,
        /// When the publisher may come back, in milliseconds.
        reconnect_after_ms: u64,
    },
    /// Report the progress of a request to its caller (a comment in the stream).
    Notice {
        /// The caller's task.
        task: TaskId,
        /// The progress.
        notice: Notice,
    },
    /// The task has failed: end the caller's response with this error. Terminal, once per task.
    /// Before the first byte it is an HTTP error, after it an error event.
    Fail {
        /// The caller's task.
        task: TaskId,
        /// The error.
        failure: Failure,
    },
    /// The response is complete: the caller's response may end cleanly. Terminal, once per task.
    Complete {
        /// The caller's task.
        task: TaskId,
    },
    /// Ignore what still arrives of the publisher's answer to this task.
    StopAnswer {
        /// The task.
        task: TaskId,
    },
    /// The task is terminal and its slot is given back: drop what is stored under its id.
    Forget {
        /// The task.
        task: TaskId,
    },
    /// Store the catalogue entry, or delete it if it is gone.
    SaveLlm(LlmId),
    /// Store the session, or delete it if it is gone.
    SaveSession(SessionId),
    /// Store the name, or delete it if it is free.
    SaveName(String),
    /// A register does not declare this LLM any more. For the log.
    Withdrawn {
        /// Its normalised name.
        name: String,
    },
}

/// Inside of [`Action::Dispatch`].
#[derive(Debug, Clone, PartialEq)]
pub struct Dispatch {
    /// The publisher's channel.
    pub channel: ChannelId,
    /// The task under which the request is stored.
    pub task: TaskId,
    /// The session's epoch.
    pub epoch: u64,
    /// The publisher speaks protocol 2.
    pub speaks_v2: bool,
    /// The LLM's name as its publisher wrote it.
    pub llm_name: String,
    /// The backend's own model id, for a protocol-1 publisher's body.
    pub model: Option<String>,
    /// Number of earlier dispatches of the task.
    pub attempt: u32,
}

/// Last event of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastEvent {
    /// A newer channel or register took over.
    Superseded,
    /// The token is no longer valid, and why.
    Revoked(String),
    /// No event: the session is gone.
    None,
}

/// Progress of a request that has no response yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Position in the queue, from 1.
    Queued(usize),
    /// Its backend is being woken.
    Waking {
        /// Seconds since the wake began.
        elapsed_secs: u64,
        /// The learned wake time in seconds, or the recipe's limit if none is learned.
        expected_secs: u64,
    },
    /// Dispatched; the backend has not answered yet.
    Running,
}

/// A failure as the caller sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The reason, for programs.
    pub code: Code,
    /// HTTP status while no byte has been sent.
    pub status: u16,
    /// For people: what failed, why, and what to do.
    pub message: String,
    /// `Retry-After`, in seconds.
    pub retry_after_secs: Option<u64>,
}

/// The reason for which a publisher's work is stopped.
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
