//! Pairing codes: what a person can type instead of a token that nobody can. An admin makes one for
//! a user; whoever sends it first gets a token of that user's, once, within ten minutes.
//!
//! Codes live in memory only. They have 40 random bits, so wrong ones are counted: after a few
//! nobody may try for a minute, and guessing all of them would take a hundred thousand years.

use crate::auth::{self, Principal};
use crate::body;
use crate::error::ApiError;
use crate::limits::{PAIRING_TRIES, PAIRING_WINDOW, PAIRINGS};
use crate::state::App;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::StatusCode;
use parking_lot::Mutex;
use rand::Rng as _;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use wire::error::code;
use wire::limits::PAIRING_MS;
use wire::token::{CreateToken, CreatedToken, Pair, Pairing};

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
enum Refused {
    Unknown,
    /// Seconds until somebody may try again.
    TooMany(u64),
}

impl Pairings {
    /// A new code for this wish; `None` when too many wait already.
    fn add(&self, wish: CreateToken, now: u64) -> Option<Pairing> {
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
    fn take(&self, code: &str, now: u64) -> Result<CreateToken, Refused> {
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

/// `POST /api/v1/pairings`.
pub(crate) async fn create(
    State(app): State<Arc<App>>,
    principal: Principal,
    body: Body,
) -> Result<(StatusCode, Json<Pairing>), ApiError> {
    principal.require("admin")?;
    let wish: CreateToken = body::json(body, app.times.body_idle).await?;
    auth::check(&wish).map_err(|why| ApiError::invalid(why, None))?;
    let user = wish.user.clone();
    let Some(pairing) = app.pairings.add(wish, app.driver.now()) else {
        let message = "too many pairing codes wait to be used; try again in ten minutes";
        return Err(too_many(message, PAIRING_MS / 1000));
    };
    tracing::info!(by = %principal.info.user, %user, "a pairing code was made");
    Ok((StatusCode::CREATED, Json(pairing)))
}

/// `POST /api/v1/pair`: needs no token, for it gives one.
pub(crate) async fn redeem(
    State(app): State<Arc<App>>,
    body: Body,
) -> Result<(StatusCode, Json<CreatedToken>), ApiError> {
    let pair: Pair = body::json(body, app.times.body_idle).await?;
    let now = app.driver.now();
    let wish = app.pairings.take(&pair.code, now).map_err(|refused| match refused {
        Refused::Unknown => ApiError::not_found(
            "this pairing code is not known here: it works once and for ten minutes; ask for a new one",
        ),
        Refused::TooMany(seconds) => {
            too_many("too many wrong pairing codes were tried; wait a minute", seconds)
        }
    })?;
    let created = auth::create(app.store.as_ref(), &wish, now).await?;
    tracing::info!(user = %created.info.user, id = %created.info.id, "a pairing code was used");
    Ok((StatusCode::CREATED, Json(created)))
}

fn too_many(message: &str, seconds: u64) -> ApiError {
    let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, code::RATE_LIMITED, message);
    ApiError { retry_after: Some(seconds), ..error }
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
