//! Identifiers. Random ones come from the driver through [`Ids`].

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Source of fresh ids: random in the driver, counted in tests.
pub trait Ids {
    /// 128 unpredictable bits.
    fn fresh(&mut self) -> u128;
}

/// Consecutive ids, for tests, simulations and benchmarks.
#[derive(Debug)]
pub struct CountedIds(u128);

impl CountedIds {
    /// Ids from `first` on. Ranges of different sources must not overlap.
    #[must_use]
    pub fn starting_at(first: u128) -> Self {
        Self(first)
    }
}

impl Ids for CountedIds {
    fn fresh(&mut self) -> u128 {
        let id = self.0;
        self.0 += 1;
        id
    }
}

/// A text that is no id of the relay: an id has exactly 32 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id has 32 lower-case hex digits")]
pub struct InvalidId;

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
                if text.len() != 32 || !text.bytes().all(is_digit) {
                    return Err(InvalidId);
                }
                u128::from_str_radix(text, 16).map(Self).map_err(|_| InvalidId)
            }
        }
    };
}

random_id!(
    /// A publisher's session: survives restarts of either side.
    SessionId
);
random_id!(
    /// An entry of the catalogue.
    LlmId
);
random_id!(
    /// A caller's request, or a wake.
    TaskId
);

/// The user behind a token. Rotating tokens keeps ownership.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerId(pub Arc<str>);

impl fmt::Display for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One open control channel, counted from 1 per process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub u64);

#[cfg(test)]
mod tests {
    use super::{InvalidId, SessionId};

    #[test]
    fn an_id_is_read_in_the_form_in_which_it_is_written_and_in_no_other() {
        let id = SessionId(0xab);
        assert_eq!(id.to_string().parse(), Ok(id));
        let (plus, upper) = (format!("+{:031x}", 0xab), format!("{:032X}", 0xab));
        for text in ["", "ab", &plus, &upper, "not-an-id"] {
            assert_eq!(text.parse::<SessionId>(), Err(InvalidId), "{text:?}");
        }
    }
}
