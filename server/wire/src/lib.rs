//! Every type that crosses the network between a publisher, mcpd and its callers: protocol
//! versions, paths, header names, limits and bodies.
//!
//! It opens no socket, reads no clock and holds no state. Types only grow: unknown fields are ignored
//! and new fields are optional, so that a peer of the seed system (protocol 1) still works.

#[macro_use]
mod macros;

pub mod body;
pub mod catalogue;
pub mod control;
pub mod error;
pub mod frames;
pub mod headers;
pub mod limits;
pub mod names;
pub mod paths;
pub mod publisher;
pub mod sse;
pub mod token;
pub mod usage;

/// The seed system's protocol: register, stream, heartbeat, result.
pub const PROTOCOL_1: u32 = 1;
/// Adds acknowledgement, cancellation, body claims, and answers in frames that survive the loss of a
/// connection.
pub const PROTOCOL_2: u32 = 2;
