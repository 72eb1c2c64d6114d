//! Where choices come from.

use rand::{Rng as _, RngCore as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// A tape of choices: endless from a seed, or as long as the bytes that somebody else wrote.
pub struct Tape<'a>(Source<'a>);

enum Source<'a> {
    Seed(Box<ChaCha8Rng>),
    Bytes(&'a [u8]),
}

impl<'a> Tape<'a> {
    /// The same choices for the same seed, on every machine and for ever.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self(Source::Seed(Box::new(ChaCha8Rng::seed_from_u64(seed))))
    }

    /// Choices that these bytes are. When they are used up, every choice is the first one.
    #[must_use]
    pub fn written(bytes: &'a [u8]) -> Self {
        Self(Source::Bytes(bytes))
    }

    /// Whether there is nothing left to choose by.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.0, Source::Bytes([]))
    }

    /// A number below `bound`, which is greater than 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        match &mut self.0 {
            Source::Seed(random) => random.random_range(0..bound),
            Source::Bytes(bytes) => {
                // One byte where one is enough: what is left out or changed then moves little else.
                let count = if bound <= 256 { 1 } else { 4 };
                let (now, rest) = bytes.split_at(count.min(bytes.len()));
                *bytes = rest;
                now.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)) % bound
            }
        }
    }

    /// The same for indexes.
    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or_default()
    }

    /// A number of `from..=to`.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }

    /// True so many times out of a hundred.
    pub fn chance(&mut self, percent: u64) -> bool {
        // The first choice is "no", so that a tape that is over does nothing odd.
        self.below(100) >= 100 - percent
    }

    /// A number of 0..1, for jitter.
    pub fn fraction(&mut self) -> f64 {
        f64::from(u32::try_from(self.below(1 << 20)).unwrap_or_default()) / f64::from(1 << 20)
    }

    /// 128 bits that look random.
    pub fn id(&mut self) -> u128 {
        match &mut self.0 {
            Source::Seed(random) => {
                u128::from(random.next_u64()) << 64 | u128::from(random.next_u64())
            }
            Source::Bytes(_) => u128::from(self.below(1 << 32)),
        }
    }
}
