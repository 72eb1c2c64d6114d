//! The bodies of simulated responses. Each chunk names its request, its run at the backend and its
//! number, so that a caller notices every byte that is missing, repeated, or another response's.

use crate::history::Call;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// Bytes before a chunk's filling: request, run, number and length of the filling.
const HEAD: usize = 20;
/// Most bytes of a chunk's filling.
pub(super) const FILLING_MAX: usize = 100_000;

/// A chunk whose filling has this many bytes.
pub(super) fn chunk(call: Call, run: u32, number: u32, filling: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(HEAD + filling);
    bytes.put_u64(call);
    bytes.put_u32(run);
    bytes.put_u32(number);
    bytes.put_u32(u32::try_from(filling).unwrap_or(u32::MAX));
    bytes.extend((0..filling).map(|at| filling_byte(call, number, at)));
    bytes.freeze()
}

/// The length of a chunk whose filling has this many bytes.
pub(super) fn chunk_length(filling: usize) -> usize {
    HEAD + filling
}

fn filling_byte(call: Call, number: u32, at: usize) -> u8 {
    let mixed = call.wrapping_mul(31).wrapping_add(u64::from(number) * 17).wrapping_add(at as u64);
    mixed.to_le_bytes()[0]
}

/// What a caller finds in the bytes of its response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A whole chunk.
    Chunk { written_for: Call, run: u32, number: u32 },
    /// Bytes that are no chunk. Nothing follows.
    Damage,
}

/// Reads the bytes of one response.
#[derive(Default)]
pub(super) struct Reader {
    unread: BytesMut,
    is_damaged: bool,
}

impl Reader {
    /// Takes the next bytes.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Vec<Found> {
        self.unread.extend_from_slice(bytes);
        let mut found = Vec::new();
        while !self.is_damaged
            && let Some(next) = self.next()
        {
            self.is_damaged = next == Found::Damage;
            found.push(next);
        }
        found
    }

    /// True if the bytes so far end inside a chunk.
    pub(super) fn is_inside_chunk(&self) -> bool {
        !self.unread.is_empty()
    }

    fn next(&mut self) -> Option<Found> {
        if self.unread.len() < HEAD {
            return None;
        }
        let mut head = &self.unread[..HEAD];
        let (written_for, run, number) = (head.get_u64(), head.get_u32(), head.get_u32());
        let filling = usize::try_from(head.get_u32()).unwrap_or(usize::MAX);
        if filling > FILLING_MAX {
            return Some(Found::Damage);
        }
        if self.unread.len() < HEAD + filling {
            return None;
        }
        let chunk = self.unread.split_to(HEAD + filling);
        let mut filling = chunk[HEAD..].iter().enumerate();
        if filling.all(|(at, byte)| *byte == filling_byte(written_for, number, at)) {
            Some(Found::Chunk { written_for, run, number })
        } else {
            Some(Found::Damage)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, Reader, chunk};

    #[test]
    fn every_byte_that_is_missing_or_repeated_is_noticed() {
        let body = [chunk(7, 1, 0, 5), chunk(7, 1, 1, 0), chunk(7, 1, 2, 40)].concat();
        let number = |number| Found::Chunk { written_for: 7, run: 1, number };
        let all = [number(0), number(1), number(2)];
        for at in 0..body.len() {
            let mut reader = Reader::default();
            let mut found = reader.read(&body[..at]);
            found.extend(reader.read(&body[at..]));
            assert_eq!((&found[..], reader.is_inside_chunk()), (&all[..], false));
            let is_whole = |body: &[u8]| {
                let mut reader = Reader::default();
                reader.read(body) == all && !reader.is_inside_chunk()
            };
            assert!(!is_whole(&[&body[..at], &body[at + 1..]].concat()), "without byte {at}");
            assert!(!is_whole(&[&body[..=at], &body[at..]].concat()), "byte {at} twice");
        }
    }
}
