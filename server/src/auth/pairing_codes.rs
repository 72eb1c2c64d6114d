//! Pairing codes: short codes that are exchanged once for a token, within ten minutes.
//!
//! Codes live in memory only, and no longer than the key that created them. They have 60 random
//! bits: a million tries per second for ten minutes find one of a thousand codes once in two
//! million times, so tries are not counted; the response to a wrong code is only delayed a little.

use super::Principal;
use crate::limits::{PAIRINGS, PAIRINGS_PER_MAKER};
use parking_lot::Mutex;
use rand::Rng as _;
use std::collections::HashMap;
use wire::limits::PAIRING_MS;
use wire::token::{CreateToken, Pairing, PairingInfo};

/// Crockford's base 32: no letter that could be taken for a digit.
const BASE32: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters of a code, of five random bits each.
const CHARS: usize = 12;
/// Characters between two dashes.
const GROUP: usize = 4;

/// The unused codes.
#[derive(Default)]
pub(crate) struct Pairings {
    unused: Mutex<HashMap<String, UnusedCode>>,
}

struct UnusedCode {
    /// The token to create.
    request: CreateToken,
    info: PairingInfo,
    /// The key that created it.
    maker: Principal,
    /// By the monotonic clock, in milliseconds.
    expires: u64,
    /// A request is exchanging it.
    claimed: bool,
}

/// The limit that prevents a further code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LimitReached {
    /// Unused codes of this admin.
    Maker,
    /// Unused codes in total.
    Total,
}

/// Reason why a code cannot be claimed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ClaimError {
    /// Never made, used, or expired.
    Unknown,
    /// Another request is exchanging it.
    Claimed,
}

/// One moment by two clocks: lifetimes go by the monotonic one, displayed times by the wall clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Milliseconds of the monotonic clock.
    pub(crate) now: u64,
    /// Unix milliseconds of the wall clock.
    pub(crate) wall: u64,
}

impl Pairings {
    /// Creates a code for this token, which dies with the key of its maker.
    ///
    /// # Errors
    /// [`LimitReached`] if the maker, or all admins together, have too many unused codes.
    pub(crate) fn add(
        &self,
        request: CreateToken,
        maker: &Principal,
        at: Moment,
    ) -> Result<Pairing, LimitReached> {
        let mut unused = self.unused.lock();
        unused.retain(|_, code| code.is_valid(at.now));
        if unused.len() >= PAIRINGS {
            return Err(LimitReached::Total);
        }
        let user = &maker.info.user;
        let own = unused.values().filter(|code| code.info.made_by == *user).count();
        if own >= PAIRINGS_PER_MAKER {
            return Err(LimitReached::Maker);
        }
        let info = PairingInfo {
            id: uuid::Uuid::now_v7().simple().to_string(),
            user: request.user.clone(),
            scopes: request.scopes.clone(),
            groups: request.groups.clone(),
            label: request.label.clone().unwrap_or_default(),
            made_by: user.clone(),
            created: at.wall,
            expires: at.wall + PAIRING_MS,
        };
        let code = random();
        let pairing = Pairing { code: grouped(&code), info: info.clone() };
        let (maker, expires) = (maker.clone(), at.now + PAIRING_MS);
        unused.insert(code, UnusedCode { request, info, maker, expires, claimed: false });
        Ok(pairing)
    }

    /// The unused codes, newest first.
    pub(crate) fn list(&self, now: u64) -> Vec<PairingInfo> {
        let unused = self.unused.lock();
        let alive = unused.values().filter(|code| code.is_valid(now));
        let mut all: Vec<PairingInfo> = alive.map(|code| code.info.clone()).collect();
        all.sort_by(|a, b| b.id.cmp(&a.id));
        all
    }

    /// Withdraws the code with this id. Returns false if there is none.
    pub(crate) fn remove(&self, id: &str, now: u64) -> bool {
        self.remove_where(|code| code.is_valid(now) && code.info.id == id) > 0
    }

    /// Withdraws all codes for this user and returns their number.
    pub(crate) fn remove_user(&self, user: &str) -> u64 {
        self.remove_where(|code| code.info.user == user)
    }

    fn remove_where(&self, matches: impl Fn(&UnusedCode) -> bool) -> u64 {
        let mut unused = self.unused.lock();
        let before = unused.len();
        unused.retain(|_, code| !matches(code));
        (before - unused.len()) as u64
    }

    /// Claims a code for the one request that may exchange it.
    ///
    /// # Errors
    /// [`ClaimError`] if there is no such code or another request holds it.
    pub(crate) fn claim(&self, typed: &str, now: u64) -> Result<Claim<'_>, ClaimError> {
        let code = canonical(typed);
        let mut unused = self.unused.lock();
        let found = unused.get_mut(&code).filter(|code| code.is_valid(now));
        let found = found.ok_or(ClaimError::Unknown)?;
        if std::mem::replace(&mut found.claimed, true) {
            return Err(ClaimError::Claimed);
        }
        let (request, maker) = (found.request.clone(), found.maker.clone());
        let id = found.info.id.clone();
        Ok(Claim { pairings: self, code, id, request, maker })
    }
}

impl UnusedCode {
    fn is_valid(&self, now: u64) -> bool {
        self.expires > now && !self.maker.alive.is_cancelled()
    }
}

/// A claimed code. Dropped without [`Claim::consume`], the code can be claimed again.
pub(crate) struct Claim<'a> {
    pairings: &'a Pairings,
    code: String,
    id: String,
    /// The token to create.
    pub(crate) request: CreateToken,
    /// The key that created the code.
    pub(crate) maker: Principal,
}

impl Claim<'_> {
    /// Uses the code up. Returns false if it was withdrawn meanwhile.
    pub(crate) fn consume(self) -> bool {
        self.pairings.remove_where(|code| code.info.id == self.id) > 0
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if let Some(code) = self.pairings.unused.lock().get_mut(&self.code) {
            code.claimed = false;
        }
    }
}

fn random() -> String {
    let mut rng = rand::rng();
    (0..CHARS).map(|_| char::from(BASE32[rng.random_range(0..BASE32.len())])).collect()
}

/// The code in groups, for people.
fn grouped(code: &str) -> String {
    let mut grouped = String::with_capacity(CHARS + CHARS / GROUP);
    for (at, c) in code.chars().enumerate() {
        if at > 0 && at % GROUP == 0 {
            grouped.push('-');
        }
        grouped.push(c);
    }
    grouped
}

/// The code as it is stored, with characters that people confuse replaced.
fn canonical(code: &str) -> String {
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
    use super::{ClaimError, LimitReached, Moment, Pairings};
    use crate::auth::Principal;
    use crate::limits::{PAIRINGS, PAIRINGS_PER_MAKER};
    use std::sync::Arc;
    use tokio_util::sync::CancellationToken;
    use wire::limits::PAIRING_MS;
    use wire::token::{CreateToken, TokenInfo};

    /// The wall clock is a day ahead: what people see has no part in how long a code lives.
    fn at(now: u64) -> Moment {
        Moment { now, wall: now + 86_400_000 }
    }

    fn request(user: &str) -> CreateToken {
        CreateToken { user: user.into(), scopes: vec!["publish".into()], ..CreateToken::default() }
    }

    fn admin(user: &str) -> Principal {
        let info = TokenInfo { id: user.into(), user: user.into(), ..TokenInfo::default() };
        Principal { info: Arc::new(info), alive: CancellationToken::new() }
    }

    fn error(codes: &Pairings, code: &str, now: u64) -> Option<ClaimError> {
        codes.claim(code, now).err()
    }

    #[test]
    fn a_code_works_once_however_it_is_typed_and_not_after_it_expires() {
        let codes = Pairings::default();
        let made = codes.add(request("mia"), &admin("root"), at(0)).unwrap();
        let code = made.code;
        assert_eq!((code.len(), code.matches('-').count()), (14, 2), "{code}");
        assert_eq!((made.info.made_by.as_str(), made.info.created), ("root", 86_400_000));
        let typed = format!(" {} ", code.to_lowercase().replace('-', " ").replace('0', "o"));
        let claim = codes.claim(&typed, 1).ok().unwrap();
        assert_eq!(claim.request, request("mia"));
        assert!(claim.consume());
        assert_eq!(error(&codes, &code, 2), Some(ClaimError::Unknown), "once");
        let late = codes.add(request("mia"), &admin("root"), at(0)).unwrap();
        assert_eq!(error(&codes, &late.code, PAIRING_MS), Some(ClaimError::Unknown), "too late");
        assert!(codes.list(PAIRING_MS).is_empty());
    }

    #[test]
    fn a_code_whose_claim_is_dropped_can_be_claimed_again_and_never_twice_at_once() {
        let codes = Pairings::default();
        let code = codes.add(request("mia"), &admin("root"), at(0)).unwrap().code;
        let claim = codes.claim(&code, 1).ok().unwrap();
        assert_eq!(error(&codes, &code, 1), Some(ClaimError::Claimed));
        drop(claim);
        let claim = codes.claim(&code, 2).ok().unwrap();
        assert_eq!(codes.remove_user("mia"), 1);
        assert!(!claim.consume(), "it was taken back while it was used");
    }

    #[test]
    fn a_code_dies_with_the_key_of_its_maker_and_only_then() {
        let codes = Pairings::default();
        let (root, other) = (admin("root"), admin("other"));
        let code = codes.add(request("mia"), &root, at(0)).unwrap().code;
        let others = codes.add(request("tom"), &other, at(0)).unwrap();
        root.alive.cancel();
        assert_eq!(error(&codes, &code, 1), Some(ClaimError::Unknown));
        assert_eq!(codes.list(1), std::slice::from_ref(&others.info));
        assert_eq!(error(&codes, &others.code, 1), None);
        assert!(codes.remove(&others.info.id, 1) && !codes.remove(&others.info.id, 1));
        assert_eq!(error(&codes, &others.code, 1), Some(ClaimError::Unknown), "taken back");
    }

    #[test]
    fn unused_codes_are_limited_per_admin_and_in_total() {
        let codes = Pairings::default();
        let mut made = 0;
        for number in 0..=PAIRINGS / PAIRINGS_PER_MAKER {
            let maker = admin(&format!("admin-{number}"));
            let full = loop {
                match codes.add(request("mia"), &maker, at(0)) {
                    Ok(_) => made += 1,
                    Err(full) => break full,
                }
            };
            let expected = if made < PAIRINGS { LimitReached::Maker } else { LimitReached::Total };
            assert_eq!(full, expected, "after {made}");
        }
        assert_eq!(made, PAIRINGS);
        assert!(
            codes.add(request("mia"), &admin("late"), at(PAIRING_MS)).is_ok(),
            "in time there is room"
        );
    }
}
