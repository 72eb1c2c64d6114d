//! Refusals of events, each with its HTTP status.

use crate::Failure;

/// Refusal of a register.
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

/// Refusal of a session's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionRefusal {
    /// 404: unknown, expired or foreign.
    #[error("no such provider session; register again")]
    Unknown,
    /// 409.
    #[error("a newer register replaced this one")]
    StaleEpoch,
}

/// Refusal of a request about a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TaskRefusal {
    /// 404: unknown or foreign.
    #[error("no such task")]
    Unknown,
    /// 409: a response has begun already.
    #[error("this task has been answered already")]
    Answered,
    /// 410: cancelled or expired; the publisher should stop the backend.
    #[error("this task has ended; stop it")]
    Gone,
}

/// Refusal of a caller's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubmitRefusal {
    /// 404, with the names that the caller may use.
    NotFound {
        /// Sorted, at most 50.
        usable: Vec<String>,
    },
    /// Any other.
    Failure(Failure),
}

/// Refusal of an admin's change of a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameRefusal {
    /// 404.
    #[error("no such name; see the list of names")]
    Unknown,
    /// 400.
    #[error("{0}")]
    Invalid(String),
}
