//! Bytes that wait for a caller, in order.
//!
//! A small piece is copied behind the ones before it: as a slice of what was read from a connection it
//! would keep all of that in memory.

use crate::limits;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// Pieces of one answer's body.
#[derive(Default)]
pub(super) struct Pieces {
    whole: VecDeque<Bytes>,
    /// Small pieces, behind the whole ones.
    small: BytesMut,
}

impl Pieces {
    /// Adds bytes at the end.
    pub(super) fn push(&mut self, bytes: Bytes) {
        if bytes.len() < limits::SMALL_PIECE {
            self.small.extend_from_slice(&bytes);
            return;
        }
        self.close_small();
        self.whole.push_back(bytes);
    }

    /// Takes bytes from the beginning.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        if self.whole.is_empty() {
            self.close_small();
        }
        self.whole.pop_front()
    }

    fn close_small(&mut self) {
        if !self.small.is_empty() {
            self.whole.push_back(std::mem::take(&mut self.small).freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pieces;
    use crate::limits::SMALL_PIECE;
    use bytes::Bytes;

    #[test]
    fn pieces_of_any_size_come_out_in_order_and_small_ones_together() {
        let large = Bytes::from(vec![b'x'; SMALL_PIECE]);
        let mut pieces = Pieces::default();
        for piece in ["a", "b"] {
            pieces.push(Bytes::from_static(piece.as_bytes()));
        }
        pieces.push(large.clone());
        pieces.push(Bytes::from_static(b"c"));
        assert_eq!(pieces.pop().unwrap(), "ab");
        assert_eq!(pieces.pop().unwrap().as_ptr(), large.as_ptr(), "a large piece is not copied");
        pieces.push(Bytes::from_static(b"d"));
        assert_eq!(pieces.pop().unwrap(), "cd");
        assert_eq!(pieces.pop(), None);
    }
}
