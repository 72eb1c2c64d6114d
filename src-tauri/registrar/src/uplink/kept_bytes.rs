//! The bytes of one answer that its caller has not taken yet.

use crate::limits::COPIED;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// A part of an answer's body, by its position there.
#[derive(Debug, Default)]
pub(super) struct KeptBytes {
    pieces: VecDeque<Piece>,
    /// Position of the first kept byte.
    start: u64,
    /// Bytes of the first piece that are not kept any more.
    skipped: usize,
    len: usize,
}

#[derive(Debug)]
enum Piece {
    /// Small pieces: a slice of them would keep the HTTP library's whole read buffer.
    Copied(Vec<u8>),
    Slice(Bytes),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Slice(bytes) => bytes,
        }
    }
}

impl KeptBytes {
    /// Position of the first kept byte.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Position behind the last kept byte.
    pub(super) fn end(&self) -> u64 {
        self.start + self.len as u64
    }

    /// Number of kept bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Appends bytes.
    pub(super) fn push(&mut self, bytes: Bytes) {
        self.len += bytes.len();
        if bytes.len() > COPIED {
            self.pieces.push_back(Piece::Slice(bytes));
            return;
        }
        match self.pieces.back_mut() {
            Some(Piece::Copied(last)) if last.len() + bytes.len() <= COPIED => {
                last.extend_from_slice(&bytes);
            }
            Some(Piece::Copied(_) | Piece::Slice(_)) | None => {
                self.pieces.push_back(Piece::Copied(bytes.to_vec()));
            }
        }
    }

    /// Drops the bytes before a position.
    pub(super) fn drop_before(&mut self, position: u64) {
        let dropped = position.saturating_sub(self.start).min(self.len as u64);
        self.start += dropped;
        let dropped = usize::try_from(dropped).unwrap_or(self.len);
        self.len -= dropped;
        self.skipped += dropped;
        while let Some(first) = self.pieces.front().map(|piece| piece.bytes().len())
            && self.skipped >= first
        {
            self.skipped -= first;
            self.pieces.pop_front();
        }
    }

    /// Appends `count` bytes from a position on to `out`. All of them must be kept.
    pub(super) fn copy_to(&self, out: &mut BytesMut, position: u64, count: usize) {
        let before = usize::try_from(position.saturating_sub(self.start)).unwrap_or(self.len);
        let (mut skipped, mut left) = (self.skipped + before, count);
        for piece in &self.pieces {
            let bytes = piece.bytes();
            let part = &bytes[skipped.min(bytes.len())..];
            skipped = skipped.saturating_sub(bytes.len());
            let part = &part[..part.len().min(left)];
            out.extend_from_slice(part);
            left -= part.len();
            if left == 0 {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::KeptBytes;
    use crate::limits::COPIED;
    use bytes::{Bytes, BytesMut};

    #[test]
    fn bytes_are_found_by_their_position_however_they_came_and_were_dropped() {
        let body: Vec<u8> = (0..100_000u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let mut kept = KeptBytes::default();
        let (mut at, mut dropped) = (0, 0);
        for length in [1, 2, COPIED, COPIED + 1, 10, 3 * COPIED, 7, 7, COPIED - 10, 9, 20_000] {
            kept.push(Bytes::copy_from_slice(&body[at..at + length]));
            at += length;
            dropped = dropped.max(at.saturating_sub(9_000));
            kept.drop_before(dropped as u64);
            assert_eq!((kept.start(), kept.end()), (dropped as u64, at as u64));
            for (from, to) in [(dropped, at), (dropped + 1, at - 1), (at - 1, at), (at, at)] {
                let mut out = BytesMut::new();
                kept.copy_to(&mut out, from as u64, to.saturating_sub(from));
                assert_eq!(out, body[from..to.max(from)], "{from} to {to}");
            }
        }
        kept.drop_before(u64::MAX);
        assert_eq!((kept.len(), kept.start(), kept.pieces.len()), (0, at as u64, 0));
        kept.push(Bytes::from_static(b"more"));
        assert_eq!(kept.end(), at as u64 + 4);
    }

    #[test]
    fn small_pieces_share_memory() {
        let mut kept = KeptBytes::default();
        (0..2 * COPIED).for_each(|_| kept.push(Bytes::from_static(b"x")));
        assert_eq!((kept.pieces.len(), kept.len()), (2, 2 * COPIED));
    }
}
