//! Reads frames incrementally, within limits.

use super::{Frame, HEAD, Kind};
use crate::limits::FRAME;
use bytes::{Buf, Bytes, BytesMut};

/// Bytes that are no frames: what follows cannot be read any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Invalid {
    /// A payload is announced with this many bytes.
    TooLong(u32),
    /// Bytes 5 to 7 of a head are not zero.
    Reserved,
}

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong(length) => {
                write!(f, "a frame announces {length} bytes; at most {FRAME} are allowed")
            }
            Self::Reserved => f.write_str("bytes 5 to 7 of a frame's head must be zero"),
        }
    }
}

impl std::error::Error for Invalid {}

/// Incremental decoder of one uplink.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The bytes that were fed last and are not read yet.
    fed: Bytes,
    /// A frame of which a part was fed before.
    partial: BytesMut,
    invalid: Option<Invalid>,
}

impl Decoder {
    /// Takes the next bytes. All frames of earlier ones must have been read, unless they were invalid.
    pub fn feed(&mut self, bytes: Bytes) {
        let is_read = self.fed.is_empty() || self.invalid.is_some();
        debug_assert!(is_read, "frames were left unread");
        self.fed = bytes;
    }

    /// The next whole frame; `None` until more bytes are fed. A payload that was fed in one piece is
    /// not copied.
    ///
    /// # Errors
    /// [`Invalid`], and again by every further call.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Invalid> {
        if let Some(invalid) = self.invalid {
            return Err(invalid);
        }
        let frame = if self.partial.is_empty() { self.next_fed() } else { self.next_partial() };
        frame.inspect_err(|invalid| self.invalid = Some(*invalid))
    }

    /// True if the bytes so far end inside a frame.
    #[must_use]
    pub fn is_inside_frame(&self) -> bool {
        !self.partial.is_empty() || !self.fed.is_empty()
    }

    fn next_fed(&mut self) -> Result<Option<Frame>, Invalid> {
        let whole = payload_length(&self.fed)?.map(|payload| HEAD + payload);
        if let Some(whole) = whole.filter(|whole| *whole <= self.fed.len()) {
            return Ok(Some(parse(self.fed.split_to(whole))));
        }
        self.partial.extend_from_slice(&self.fed);
        self.fed.clear();
        Ok(None)
    }

    fn next_partial(&mut self) -> Result<Option<Frame>, Invalid> {
        self.complete(HEAD);
        let Some(payload) = payload_length(&self.partial)? else { return Ok(None) };
        self.complete(HEAD + payload);
        let is_whole = self.partial.len() == HEAD + payload;
        Ok(is_whole.then(|| parse(std::mem::take(&mut self.partial).freeze())))
    }

    /// Moves bytes to the partial frame until it has this length.
    fn complete(&mut self, length: usize) {
        let missing = length.saturating_sub(self.partial.len()).min(self.fed.len());
        if missing > 0 {
            self.partial.reserve(length - self.partial.len());
            self.partial.extend_from_slice(&self.fed[..missing]);
            self.fed.advance(missing);
        }
    }
}

/// The payload's length; `None` if the head is not whole. Checked as soon as its bytes are there.
fn payload_length(frame: &[u8]) -> Result<Option<usize>, Invalid> {
    let Some((length, rest)) = frame.split_first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length);
    let payload = usize::try_from(length).ok().filter(|payload| *payload <= FRAME);
    let payload = payload.ok_or(Invalid::TooLong(length))?;
    if rest.iter().skip(1).take(3).any(|byte| *byte != 0) {
        return Err(Invalid::Reserved);
    }
    Ok((frame.len() >= HEAD).then_some(payload))
}

/// Takes apart a frame whose head is whole.
fn parse(mut frame: Bytes) -> Frame {
    frame.advance(4);
    let kind = Kind::from_byte(frame.get_u8());
    frame.advance(3);
    let (task, offset) = (frame.get_u128(), frame.get_u64());
    Frame { kind, task, offset, payload: frame }
}
