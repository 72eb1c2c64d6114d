//! Frames that wait in a control channel's queue, whatever transport the channel has. They are
//! encoded in the channel's own task, not under the driver's lock.

use super::CallerRequest;
use relay::{CancelReason, Dispatch, LastEvent, Opened, SessionId, TaskId};
use std::sync::Arc;
use wire::control::{Cancel, Drain, Hello, Probe, Revoked, WakeTask};

/// A frame for a publisher.
pub(crate) enum Frame {
    /// The channel is open.
    Hello(Hello),
    /// A request to run.
    Infer(Box<Dispatch>, Arc<CallerRequest>),
    /// A backend to wake.
    Wake(WakeTask),
    /// A task to stop.
    Cancel(Cancel),
    /// The server is about to shut down.
    Drain(Drain),
    /// An upload's first bytes have arrived.
    Probe(Probe),
    /// The last frame of a channel that another one has replaced.
    Superseded,
    /// The last frame of a channel whose token is no longer valid.
    Revoked(Revoked),
}

impl Frame {
    pub(super) fn hello(opened: &Opened, session: SessionId, heartbeat_ms: u64) -> Self {
        Self::Hello(Hello {
            protocol: opened.protocol,
            epoch: opened.epoch,
            provider_session_id: session.to_string(),
            heartbeat_seconds: heartbeat_ms.div_ceil(1000),
        })
    }

    pub(super) fn wake(task: TaskId, llm_name: String, max_wait_seconds: u64) -> Self {
        Self::Wake(WakeTask { task_id: task.to_string(), llm_name, max_wait_seconds })
    }

    pub(super) fn cancel(task: TaskId, reason: CancelReason) -> Self {
        let reason = reason.as_str().to_owned();
        Self::Cancel(Cancel { task_id: task.to_string(), reason })
    }

    pub(super) fn drain(reconnect_after_ms: u64) -> Self {
        Self::Drain(Drain { reconnect_after_ms })
    }

    pub(super) fn last(event: &LastEvent) -> Option<Self> {
        match event {
            LastEvent::Superseded => Some(Self::Superseded),
            LastEvent::Revoked(reason) => Some(Self::Revoked(Revoked { reason: reason.clone() })),
            LastEvent::None => None,
        }
    }
}
