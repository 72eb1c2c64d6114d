//! Known deviations of the relay from `docs/protocol.md`. The model accepts them, so that it finds
//! others. Remove each with the fix of the relay.

/// §14.1: the timer for the publisher's return should end when its channel opens. The relay lets it
/// run until the request is dispatched.
pub(super) const RETURN_TIMER_ENDS_AT_DISPATCH: bool = true;

/// §8.7: `nameRequests` should have other users only. The relay also lists sessions of a user that
/// was refused the name before it became the owner.
pub(super) const OWNERS_REQUEST_THEIR_NAMES: bool = true;

/// §14.2: a task whose publisher's channel was closed by a register should be lost after 15 s without
/// a sign of life. The relay may take up to 45 s.
pub(super) const REGISTER_KEEPS_LOST_TIMER: bool = true;

/// §11.8: a wake's result should be accepted from the session to which the wake was sent, also after
/// the entry has moved to another session. The relay may refuse it.
pub(super) const MOVED_WAKES_ARE_UNKNOWN: bool = true;

/// §14.2: the acknowledgement timer should stand still while the channel is closed. The relay lets it
/// run while the server drains.
pub(super) const DRAIN_KEEPS_ACKNOWLEDGEMENT_TIMER: bool = true;
