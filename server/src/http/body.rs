//! Reading a request's body: within the budget, with a limit, and within a time.

pub(crate) mod budget;

use crate::auth::Principal;
use crate::http::error::ApiError;
use crate::limits;
use crate::state::App;
use axum::body::Body;
use budget::{Held, Over};
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::Instant;
use wire::error::Code;

/// How long a body may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Between two pieces.
    pub(crate) idle: Duration,
    /// In all, for an empty one.
    pub(crate) base: Duration,
    /// And for each MiB that is announced or has arrived.
    pub(crate) per_mib: Duration,
}

impl Pace {
    /// The same time for every size.
    fn within(time: Duration) -> Self {
        Self { idle: time, base: time, per_mib: Duration::ZERO }
    }

    fn total(&self, bytes: u64) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "sizes are below 2^53")]
        let mib = bytes as f64 / f64::from(1 << 20);
        self.base + self.per_mib.mul_f64(mib)
    }
}

/// A body that is being read.
pub(crate) struct Reading {
    body: Body,
    whole: BytesMut,
    limit: usize,
    announced: u64,
    /// What it takes from the budget; a body without a key takes nothing.
    held: Option<Held>,
    share: usize,
    pace: Pace,
    began: Instant,
    since_yield: usize,
}

impl Reading {
    /// Begins to read a body of this key's.
    ///
    /// # Errors
    /// 413 above `limit` and 429 without room in the budget, by the announced length.
    pub(crate) fn of(
        app: &App,
        principal: &Principal,
        body: Body,
        limit: usize,
    ) -> Result<Self, ApiError> {
        let budget = &app.budget;
        let held = budget.hold(&principal.info.id);
        let limit = limit.min(budget.share());
        let mut reading = Self::new(body, limit, app.times.body)?;
        let announced = usize::try_from(reading.announced).unwrap_or(usize::MAX);
        held.has_room(announced).map_err(|over| ApiError::no_room(over, budget.share()))?;
        reading.held = Some(held);
        reading.share = budget.share();
        Ok(reading)
    }

    fn new(body: Body, limit: usize, pace: Pace) -> Result<Self, ApiError> {
        let announced = body.size_hint().lower();
        if announced > limit as u64 {
            return Err(ApiError::too_large(limit));
        }
        let whole = BytesMut::new();
        let began = Instant::now();
        let (held, share, since_yield) = (None, 0, 0);
        Ok(Self { body, whole, limit, announced, held, share, pace, began, since_yield })
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// 413 above the limit; 429 when the budget has no room for more; 408 when it takes too long or
    /// pauses for too long; 400 when it breaks off.
    pub(crate) async fn next(&mut self) -> Result<Option<&[u8]>, ApiError> {
        if self.since_yield >= limits::BODY_SLICE {
            self.since_yield = 0;
            // What is done with each piece takes a while; others have their turn between them.
            tokio::task::yield_now().await;
        }
        loop {
            let Some(data) = self.frame().await? else {
                return Ok(None);
            };
            if data.is_empty() {
                continue;
            }
            let from = self.whole.len();
            if from + data.len() > self.limit {
                return Err(ApiError::too_large(self.limit));
            }
            if let Some(held) = &mut self.held {
                held.grow(data.len()).map_err(|over| ApiError::no_room(over, self.share))?;
            }
            self.make_room(data.len());
            self.whole.extend_from_slice(&data);
            self.since_yield += data.len();
            return Ok(Some(&self.whole[from..]));
        }
    }

    /// The next data frame; `None` at the end.
    async fn frame(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            let size = self.announced.max(self.whole.len() as u64);
            let left = self.pace.total(size).saturating_sub(self.began.elapsed());
            let frame = tokio::time::timeout(left.min(self.pace.idle), self.body.frame()).await;
            let frame = frame.map_err(|_| {
                let message = "the request body did not arrive in time";
                ApiError::new(StatusCode::REQUEST_TIMEOUT, Code::InvalidRequest, message)
            })?;
            match frame.transpose() {
                Err(_) => return Err(ApiError::invalid("the request body broke off", None)),
                Ok(None) => return Ok(None),
                Ok(Some(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// Doubles the room as bytes arrive; the announced length is believed once a part of it is there.
    fn make_room(&mut self, more: usize) {
        let len = self.whole.len();
        if self.whole.capacity() - len >= more {
            return;
        }
        let announced = usize::try_from(self.announced).unwrap_or(usize::MAX);
        let missing = announced.saturating_sub(len);
        let step = if len < limits::BODY_BELIEVED { len.max(limits::BODY_STEP) } else { missing };
        self.whole.reserve(more.max(step.min(missing)));
    }

    /// Whether nothing more will come.
    pub(crate) fn is_at_end(&self) -> bool {
        self.body.is_end_stream()
    }

    /// All bytes; the budget has them back when the last copy is dropped.
    pub(crate) fn whole(self) -> Bytes {
        match self.held {
            Some(held) => held.with(self.whole),
            None => self.whole.freeze(),
        }
    }

    async fn rest(mut self) -> Result<Bytes, ApiError> {
        while self.next().await?.is_some() {}
        Ok(self.whole())
    }
}

/// The whole body of this key's.
///
/// # Errors
/// As [`Reading::of`] and [`Reading::next`].
pub(crate) async fn read(
    app: &App,
    principal: &Principal,
    body: Body,
    limit: usize,
) -> Result<Bytes, ApiError> {
    Reading::of(app, principal, body, limit)?.rest().await
}

/// A JSON body of a publisher, within the budget and the time of control bodies.
///
/// # Errors
/// As [`read`]; 400 with line and column.
pub(crate) async fn json_of<T: DeserializeOwned + Send + 'static>(
    app: &App,
    principal: &Principal,
    body: Body,
    limit: usize,
) -> Result<T, ApiError> {
    let mut reading = Reading::of(app, principal, body, limit)?;
    reading.pace = Pace::within(app.times.body_idle);
    parse(reading.rest().await?).await
}

/// A small JSON body of an admin, all of it within this time.
///
/// # Errors
/// As [`Reading::next`]; 400 with line and column.
pub(crate) async fn json<T: DeserializeOwned + Send + 'static>(
    body: Body,
    time: Duration,
) -> Result<T, ApiError> {
    json_within(body, limits::CONTROL_BODY, time).await
}

/// As [`json`], with a limit in bytes.
///
/// # Errors
/// As [`json`].
pub(crate) async fn json_within<T: DeserializeOwned + Send + 'static>(
    body: Body,
    limit: usize,
    time: Duration,
) -> Result<T, ApiError> {
    let reading = Reading::new(body, limit, Pace::within(time))?;
    parse(reading.rest().await?).await
}

async fn parse<T: DeserializeOwned + Send + 'static>(bytes: Bytes) -> Result<T, ApiError> {
    let parsed = aside(bytes.len(), move || serde_json::from_slice(&bytes)).await?;
    parsed.map_err(|e| ApiError::invalid(format!("the body is not usable: {e}"), None))
}

/// Reads what nobody needs, so that the peer can finish sending.
///
/// # Errors
/// As [`Reading::next`].
pub(crate) async fn discard(body: Body, limit: usize, time: Duration) -> Result<(), ApiError> {
    let mut reading = Reading::new(body, limit, Pace::within(time))?;
    let mut left = limit;
    while let Some(data) = reading.frame().await? {
        left = left.checked_sub(data.len()).ok_or_else(|| ApiError::too_large(limit))?;
    }
    Ok(())
}

/// Does work on so many bytes: at once when they are few, else beside the threads that serve
/// everybody.
///
/// # Errors
/// 500 when the work panics.
pub(crate) async fn aside<R: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, ApiError> {
    if bytes <= limits::BODY_SLICE {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)
}

impl ApiError {
    /// 429: the budget of request bodies is used up.
    fn no_room(over: Over, share: usize) -> Self {
        let message = match over {
            Over::Key => format!(
                "the requests of this key that wait or run hold {} MiB already, which is all that \
                 one key may hold; send this one again when one of them has been answered",
                share >> 20
            ),
            Over::All => "the requests of all callers hold as much memory as this server gives \
                          them; send this one again in a moment"
                .to_owned(),
        };
        let error = Self::new(StatusCode::TOO_MANY_REQUESTS, Code::BodyBudget, message);
        Self { retry_after: Some(limits::BODY_RETRY.as_secs()), ..error }
    }
}
