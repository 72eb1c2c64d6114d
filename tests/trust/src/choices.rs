//! Source of random decisions.

use rand::{Rng as _, RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// A sequence of random decisions: endless from a seed, or finite from bytes.
pub struct Choices<'a>(Source<'a>);

enum Source<'a> {
    Seed(Box<ChaCha8Rng>),
    Bytes(&'a [u8]),
}

impl<'a> Choices<'a> {
    /// Creates a sequence that is the same for the same seed, on every machine and in every version.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self(Source::Seed(Box::new(ChaCha8Rng::seed_from_u64(seed))))
    }

    /// Creates a sequence from bytes. Once they are used up, every decision is the first option.
    #[must_use]
    pub fn from_bytes(bytes: &'a [u8]) -> Self {
        Self(Source::Bytes(bytes))
    }

    /// Returns true if all bytes are used up.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        matches!(self.0, Source::Bytes([]))
    }

    /// Returns a number less than `bound`, which must be greater than 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        match &mut self.0 {
            Source::Seed(random) => random.random_range(0..bound),
            Source::Bytes(bytes) => {
                // One byte where one is enough: removing or changing a byte then moves few others,
                // which helps fuzzing and shrinking.
                let count = if bound <= 256 { 1 } else { 4 };
                let (now, rest) = bytes.split_at(count.min(bytes.len()));
                *bytes = rest;
                now.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)) % bound
            }
        }
    }

    /// Returns an index into a collection of this length, which must be greater than 0.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or_default()
    }

    /// Returns a number in `from..=to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// Returns true with this probability in percent.
    pub fn chance(&mut self, percent: u64) -> bool {
        // Drawing 0 means false, so that an exhausted sequence takes no rare branches.
        self.below(100) >= 100 - percent
    }

    /// Returns a number in 0..1, for jitter.
    pub fn fraction(&mut self) -> f64 {
        f64::from(u32::try_from(self.below(1 << 20)).unwrap_or_default()) / f64::from(1 << 20)
    }

    /// Returns 128 random bits; only 32 of them vary for a sequence from bytes.
    pub fn id(&mut self) -> u128 {
        match &mut self.0 {
            Source::Seed(random) => {
                u128::from(random.next_u64()) << 64 | u128::from(random.next_u64())
            }
            Source::Bytes(_) => u128::from(self.below(1 << 32)),
        }
    }
}
