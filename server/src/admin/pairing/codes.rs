//! The codes that wait to be used. What a code is worth is not decided here.

use crate::auth::Principal;
use crate::limits::{PAIRINGS, PAIRINGS_PER_MAKER};
use parking_lot::Mutex;
use rand::Rng as _;
use std::collections::HashMap;
use wire::limits::PAIRING_MS;
use wire::token::{CreateToken, Pairing, PairingInfo};

/// Crockford's base 32: no letter that could be taken for a digit.
const BASE32: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Five random bits each.
const CHARS: usize = 12;
/// Characters between two dashes.
const GROUP: usize = 4;

/// The codes that wait to be used.
#[derive(Default)]
pub(crate) struct Pairings {
    waiting: Mutex<HashMap<String, Waiting>>,
}

struct Waiting {
    wish: CreateToken,
    info: PairingInfo,
    /// The key that made it.
    maker: Principal,
    /// By the driver's clock, which never jumps.
    expires: u64,
    /// Somebody is using it.
    claimed: bool,
}

/// Why no further code can be made.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Too many of this admin's wait.
    Maker,
    /// Too many wait.
    All,
}

/// Why a code gives no token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Unknown,
    /// Another request is using it.
    Claimed,
}

/// Two clocks: one for how long a code lives, one for what people are shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// The driver's, which never jumps.
    pub(super) now: u64,
    /// The wall clock's.
    pub(super) wall: u64,
}

impl Pairings {
    /// A new code for this wish, which dies with the key of its maker.
    pub(super) fn add(
        &self,
        wish: CreateToken,
        maker: &Principal,
        at: Moment,
    ) -> Result<Pairing, Full> {
        let mut waiting = self.waiting.lock();
        waiting.retain(|_, code| code.lives(at.now));
        if waiting.len() >= PAIRINGS {
            return Err(Full::All);
        }
        let user = &maker.info.user;
        let own = waiting.values().filter(|code| code.info.made_by == *user).count();
        if own >= PAIRINGS_PER_MAKER {
            return Err(Full::Maker);
        }
        let info = PairingInfo {
            id: uuid::Uuid::now_v7().simple().to_string(),
            user: wish.user.clone(),
            scopes: wish.scopes.clone(),
            groups: wish.groups.clone(),
            label: wish.label.clone().unwrap_or_default(),
            made_by: user.clone(),
            created: at.wall,
            expires: at.wall + PAIRING_MS,
        };
        let code = random();
        let pairing = Pairing { code: shown(&code), info: info.clone() };
        let (maker, expires) = (maker.clone(), at.now + PAIRING_MS);
        waiting.insert(code, Waiting { wish, info, maker, expires, claimed: false });
        Ok(pairing)
    }

    /// What waits, newest first.
    pub(super) fn list(&self, now: u64) -> Vec<PairingInfo> {
        let waiting = self.waiting.lock();
        let alive = waiting.values().filter(|code| code.lives(now));
        let mut all: Vec<PairingInfo> = alive.map(|code| code.info.clone()).collect();
        all.sort_by(|a, b| b.id.cmp(&a.id));
        all
    }

    /// Takes back the code with this id; false when there is none.
    pub(super) fn remove(&self, id: &str, now: u64) -> bool {
        self.remove_where(|code| code.lives(now) && code.info.id == id) > 0
    }

    /// Takes back every code for this user; how many there were.
    pub(crate) fn remove_user(&self, user: &str) -> u64 {
        self.remove_where(|code| code.info.user == user)
    }

    fn remove_where(&self, such: impl Fn(&Waiting) -> bool) -> u64 {
        let mut waiting = self.waiting.lock();
        let before = waiting.len();
        waiting.retain(|_, code| !such(code));
        (before - waiting.len()) as u64
    }

    /// Claims a code for the one request that may use it.
    pub(super) fn claim(&self, typed: &str, now: u64) -> Result<Claim<'_>, Refused> {
        let code = plain(typed);
        let mut waiting = self.waiting.lock();
        let found = waiting.get_mut(&code).filter(|code| code.lives(now));
        let found = found.ok_or(Refused::Unknown)?;
        if std::mem::replace(&mut found.claimed, true) {
            return Err(Refused::Claimed);
        }
        let (wish, maker) = (found.wish.clone(), found.maker.clone());
        let id = found.info.id.clone();
        Ok(Claim { pairings: self, code, id, wish, maker })
    }
}

impl Waiting {
    fn lives(&self, now: u64) -> bool {
        self.expires > now && !self.maker.alive.is_cancelled()
    }
}

/// A code in use. Dropped without [`Claim::used`], it waits again: nothing was made of it.
pub(super) struct Claim<'a> {
    pairings: &'a Pairings,
    code: String,
    id: String,
    /// The token that was wished for.
    pub(super) wish: CreateToken,
    /// The key that made the code.
    pub(super) maker: Principal,
}

impl Claim<'_> {
    /// The code is used up; false when it was taken back meanwhile.
    pub(super) fn used(self) -> bool {
        self.pairings.remove_where(|code| code.info.id == self.id) > 0
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if let Some(code) = self.pairings.waiting.lock().get_mut(&self.code) {
            code.claimed = false;
        }
    }
}

fn random() -> String {
    let mut rng = rand::rng();
    (0..CHARS).map(|_| char::from(BASE32[rng.random_range(0..BASE32.len())])).collect()
}

/// As people read it.
fn shown(code: &str) -> String {
    let mut shown = String::with_capacity(CHARS + CHARS / GROUP);
    for (at, c) in code.chars().enumerate() {
        if at > 0 && at % GROUP == 0 {
            shown.push('-');
        }
        shown.push(c);
    }
    shown
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
    use super::{Full, Moment, Pairings, Refused};
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

    fn wish(user: &str) -> CreateToken {
        CreateToken { user: user.into(), scopes: vec!["publish".into()], ..CreateToken::default() }
    }

    fn admin(user: &str) -> Principal {
        let info = TokenInfo { id: user.into(), user: user.into(), ..TokenInfo::default() };
        Principal { info: Arc::new(info), alive: CancellationToken::new() }
    }

    fn refused(codes: &Pairings, code: &str, now: u64) -> Option<Refused> {
        codes.claim(code, now).err()
    }

    #[test]
    fn a_code_works_once_however_it_is_typed_and_not_after_its_time() {
        let codes = Pairings::default();
        let made = codes.add(wish("mia"), &admin("root"), at(0)).unwrap();
        let code = made.code;
        assert_eq!((code.len(), code.matches('-').count()), (14, 2), "{code}");
        assert_eq!((made.info.made_by.as_str(), made.info.created), ("root", 86_400_000));
        let typed = format!(" {} ", code.to_lowercase().replace('-', " ").replace('0', "o"));
        let claim = codes.claim(&typed, 1).ok().unwrap();
        assert_eq!(claim.wish, wish("mia"));
        assert!(claim.used());
        assert_eq!(refused(&codes, &code, 2), Some(Refused::Unknown), "once");
        let late = codes.add(wish("mia"), &admin("root"), at(0)).unwrap();
        assert_eq!(refused(&codes, &late.code, PAIRING_MS), Some(Refused::Unknown), "too late");
        assert!(codes.list(PAIRING_MS).is_empty());
    }

    #[test]
    fn a_code_that_made_nothing_waits_again_and_two_cannot_use_it_at_once() {
        let codes = Pairings::default();
        let code = codes.add(wish("mia"), &admin("root"), at(0)).unwrap().code;
        let claim = codes.claim(&code, 1).ok().unwrap();
        assert_eq!(refused(&codes, &code, 1), Some(Refused::Claimed));
        drop(claim);
        let claim = codes.claim(&code, 2).ok().unwrap();
        assert_eq!(codes.remove_user("mia"), 1);
        assert!(!claim.used(), "it was taken back while it was used");
    }

    #[test]
    fn a_code_dies_with_the_key_of_its_maker_and_only_then() {
        let codes = Pairings::default();
        let (root, other) = (admin("root"), admin("other"));
        let code = codes.add(wish("mia"), &root, at(0)).unwrap().code;
        let others = codes.add(wish("tom"), &other, at(0)).unwrap();
        root.alive.cancel();
        assert_eq!(refused(&codes, &code, 1), Some(Refused::Unknown));
        assert_eq!(codes.list(1), std::slice::from_ref(&others.info));
        assert_eq!(refused(&codes, &others.code, 1), None);
        assert!(codes.remove(&others.info.id, 1) && !codes.remove(&others.info.id, 1));
        assert_eq!(refused(&codes, &others.code, 1), Some(Refused::Unknown), "taken back");
    }

    #[test]
    fn an_admin_has_so_many_codes_and_all_of_them_together_have_so_many() {
        let codes = Pairings::default();
        let mut made = 0;
        for number in 0..=PAIRINGS / PAIRINGS_PER_MAKER {
            let maker = admin(&format!("admin-{number}"));
            let full = loop {
                match codes.add(wish("mia"), &maker, at(0)) {
                    Ok(_) => made += 1,
                    Err(full) => break full,
                }
            };
            let expected = if made < PAIRINGS { Full::Maker } else { Full::All };
            assert_eq!(full, expected, "after {made}");
        }
        assert_eq!(made, PAIRINGS);
        assert!(
            codes.add(wish("mia"), &admin("late"), at(PAIRING_MS)).is_ok(),
            "in time there is room"
        );
    }
}
