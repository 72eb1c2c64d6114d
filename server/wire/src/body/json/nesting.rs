//! Tracks the open brackets of a value, without recursion.

use super::chars::unexpected;
use crate::limits::JSON_DEPTH;

/// The open brackets, one bit for each: set for an object.
#[derive(Debug)]
pub(super) struct Nesting {
    objects: [u64; JSON_DEPTH / 64],
    depth: usize,
}

impl Default for Nesting {
    fn default() -> Self {
        Self { objects: [0; JSON_DEPTH / 64], depth: 0 }
    }
}

impl Nesting {
    /// Takes an opening bracket.
    pub(super) fn open(&mut self, byte: u8, at: usize) -> Result<(), String> {
        let bit = 1 << (self.depth % 64);
        let Some(word) = self.objects.get_mut(self.depth / 64) else {
            return Err(format!("the body is nested deeper than {JSON_DEPTH}, at byte {at}"));
        };
        if byte == b'{' {
            *word |= bit;
        } else {
            *word &= !bit;
        }
        self.depth += 1;
        Ok(())
    }

    /// Takes a closing bracket; true if this was the outermost one.
    pub(super) fn close(&mut self, byte: u8, at: usize) -> Result<bool, String> {
        self.depth -= 1;
        let is_object = self.objects[self.depth / 64] & (1 << (self.depth % 64)) != 0;
        if is_object == (byte == b'}') { Ok(self.depth == 0) } else { Err(unexpected(at)) }
    }
}
