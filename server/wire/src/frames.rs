//! Codec for the frames of an uplink, in which a publisher sends the answers of all its tasks.
//!
//! A frame is a head of [`HEAD`] bytes and a payload. [`Decoder`] reads frames from bytes that were
//! cut anywhere, within limits; [`write_frame`] writes one. What a kind's payload contains is in
//! [`crate::publisher`].

mod decode;

pub use decode::{Decoder, Invalid};

use crate::limits::FRAME;
use bytes::{BufMut, Bytes, BytesMut};

/// Bytes of a frame's head.
pub const HEAD: usize = 32;
/// Content type of an uplink's body.
pub const CONTENT_TYPE: &str = "application/vnd.mcpctl.frames";

/// The content of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The task has arrived. No payload.
    Accepted,
    /// The backend's status and headers, as [`crate::publisher::AnswerHead`].
    Head,
    /// Bytes of the backend's body.
    Data,
    /// The answer is complete. No payload.
    End,
    /// The task failed, as [`crate::publisher::TaskFailure`].
    Failed,
    /// A kind of a later version: to be ignored.
    Unknown(u8),
}

impl Kind {
    fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Accepted,
            2 => Self::Head,
            3 => Self::Data,
            4 => Self::End,
            5 => Self::Failed,
            other => Self::Unknown(other),
        }
    }

    fn to_byte(self) -> u8 {
        match self {
            Self::Accepted => 1,
            Self::Head => 2,
            Self::Data => 3,
            Self::End => 4,
            Self::Failed => 5,
            Self::Unknown(other) => other,
        }
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the payload is.
    pub kind: Kind,
    /// The task: the 128 bits that its id writes in hex.
    pub task: u128,
    /// Position of the payload's first byte in the answer's body; 0 in all kinds but data.
    pub offset: u64,
    /// At most [`FRAME`] bytes.
    pub payload: Bytes,
}

/// Appends a frame. A payload over [`FRAME`] bytes must be split by the caller.
pub fn write_frame(out: &mut BytesMut, kind: Kind, task: u128, offset: u64, payload: &[u8]) {
    write_head(out, kind, task, offset, payload.len());
    out.put_slice(payload);
}

/// Appends the head of a frame whose payload, of this length, the caller appends in pieces.
pub fn write_head(out: &mut BytesMut, kind: Kind, task: u128, offset: u64, payload: usize) {
    debug_assert!(payload <= FRAME, "a frame's payload is too long");
    out.reserve(HEAD + payload);
    out.put_u32(u32::try_from(payload).unwrap_or(u32::MAX));
    out.put_u8(kind.to_byte());
    out.put_bytes(0, 3);
    out.put_u128(task);
    out.put_u64(offset);
}

#[cfg(test)]
mod tests;
