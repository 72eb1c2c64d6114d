//! The codes that wait to be used, and how often wrong ones were tried. What a code is worth is not
//! decided here.

use crate::limits::{PAIRING_TRIES, PAIRING_WINDOW, PAIRINGS};
use parking_lot::Mutex;
use rand::Rng as _;
use std::collections::{HashMap, VecDeque};
use wire::limits::PAIRING_MS;
use wire::token::{CreateToken, Pairing};

/// Crockford's base 32: no letter that could be taken for a digit.
const BASE32: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CHARS: usize = 8;

/// The codes that wait to be used.
#[derive(Default)]
pub(crate) struct Pairings {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The wish and when the code expires.
    waiting: HashMap<String, (CreateToken, u64)>,
    /// When wrong codes came.
    wrong: VecDeque<u64>,
}

/// Why a code gives no token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Unknown,
    /// Seconds until somebody may try again.
    TooMany(u64),
}

impl Pairings {
    /// A new code for this wish; `None` when too many wait already.
    pub(super) fn add(&self, wish: CreateToken, now: u64) -> Option<Pairing> {
        let mut inner = self.inner.lock();
        inner.waiting.retain(|_, (_, expires)| *expires > now);
        if inner.waiting.len() >= PAIRINGS {
            return None;
        }
        let mut rng = rand::rng();
        let code: String =
            (0..CHARS).map(|_| char::from(BASE32[rng.random_range(0..BASE32.len())])).collect();
        let expires = now + PAIRING_MS;
        let shown = format!("{}-{}", &code[..CHARS / 2], &code[CHARS / 2..]);
        inner.waiting.insert(code, (wish, expires));
        Some(Pairing { code: shown, expires })
    }

    /// The wish behind a code, which is used up then.
    pub(super) fn take(&self, code: &str, now: u64) -> Result<CreateToken, Refused> {
        let window = u64::try_from(PAIRING_WINDOW.as_millis()).unwrap_or(u64::MAX);
        let mut inner = self.inner.lock();
        while inner.wrong.front().is_some_and(|at| at + window <= now) {
            inner.wrong.pop_front();
        }
        if inner.wrong.len() >= PAIRING_TRIES {
            let oldest = inner.wrong.front().copied().unwrap_or(now);
            return Err(Refused::TooMany((oldest + window - now).div_ceil(1000)));
        }
        match inner.waiting.remove(&plain(code)) {
            Some((wish, expires)) if expires > now => Ok(wish),
            Some(_) | None => {
                inner.wrong.push_back(now);
                Err(Refused::Unknown)
            }
        }
    }
}

/// As it is kept: what people confuse is taken for what is meant.
fn plain(code: &str) -> String {
    let letters = code.chars().filter(char::is_ascii_alphanumeric).take(2 * CHARS);
    let meant = letters.map(|c| match c.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    });
    meant.collect()
}

#[cfg(test)]
mod tests {
    use super::{Pairings, Refused};
    use crate::limits::PAIRING_TRIES;
    use wire::limits::PAIRING_MS;
    use wire::token::CreateToken;

    fn wish() -> CreateToken {
        CreateToken { user: "mia".into(), scopes: vec!["publish".into()], ..CreateToken::default() }
    }

    #[test]
    fn a_code_works_once_however_it_is_typed_and_not_after_its_time() {
        let codes = Pairings::default();
        let code = codes.add(wish(), 0).unwrap().code;
        assert_eq!((code.len(), code.find('-')), (9, Some(4)), "{code}");
        let typed = format!(" {} ", code.to_lowercase().replace('-', " ").replace('0', "o"));
        assert_eq!(codes.take(&typed, 1), Ok(wish()));
        assert_eq!(codes.take(&code, 2), Err(Refused::Unknown), "once");
        let late = codes.add(wish(), 0).unwrap();
        assert_eq!(codes.take(&late.code, PAIRING_MS), Err(Refused::Unknown), "too late");
    }

    #[test]
    fn after_a_few_wrong_codes_nobody_may_try_until_a_minute_has_passed() {
        let codes = Pairings::default();
        let good = codes.add(wish(), 0).unwrap().code;
        for _ in 0..PAIRING_TRIES {
            assert_eq!(codes.take("AAAA-AAAA", 1_000), Err(Refused::Unknown));
        }
        assert_eq!(codes.take(&good, 2_000), Err(Refused::TooMany(59)));
        assert_eq!(codes.take(&good, 61_000), Ok(wish()));
    }
}
