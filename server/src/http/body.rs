//! Reads request bodies within a memory budget, a size limit and a time limit.

mod budget;

use crate::http::error::ApiError;
use crate::limits::{self, Times};
use axum::body::Body;
use budget::{Budget, Exceeded, Reservation};
use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::error::Code;

/// The limits of all request bodies.
pub(crate) struct Bodies {
    budget: Arc<Budget>,
    pace: Pace,
}

/// Time limits of a request body.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Longest pause between two pieces.
    idle: Duration,
    /// Total time of an empty body.
    base: Duration,
    /// Additional time for each MiB that was announced or has arrived.
    per_mib: Duration,
}

impl Pace {
    /// The same total time for every size.
    fn within(time: Duration) -> Self {
        Self { idle: time, base: time, per_mib: Duration::ZERO }
    }

    fn total(&self, bytes: u64) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "sizes are below 2^53")]
        let mib = bytes as f64 / f64::from(1 << 20);
        self.base + self.per_mib.mul_f64(mib)
    }
}

impl Bodies {
    /// Limits of `budget` bytes for all bodies together and `share` bytes for those of one key.
    #[must_use]
    pub(crate) fn new(budget: usize, share: usize, times: &Times) -> Self {
        let pace =
            Pace { idle: times.body_idle, base: times.body_base, per_mib: times.body_per_mib };
        Self { budget: Budget::new(budget, share), pace }
    }

    /// Begins to read a body sent with the key of this id.
    ///
    /// # Errors
    /// By the announced length: 413 above `limit`, 429 if the budget has no room for it.
    pub(crate) fn reader(
        &self,
        key: &str,
        body: Body,
        limit: usize,
    ) -> Result<BodyReader, ApiError> {
        let share = self.budget.share();
        let reserved = self.budget.reserve(key);
        let mut reader = BodyReader::new(body, limit.min(share), self.pace)?;
        let announced = usize::try_from(reader.announced).unwrap_or(usize::MAX);
        reserved.has_room(announced).map_err(|over| no_room(over, share))?;
        reader.reserved = Some(reserved);
        reader.share = share;
        Ok(reader)
    }

    /// Reads a whole body sent with the key of this id.
    ///
    /// # Errors
    /// As [`Self::reader`] and [`BodyReader::next`].
    pub(crate) async fn read(
        &self,
        key: &str,
        body: Body,
        limit: usize,
    ) -> Result<Bytes, ApiError> {
        self.reader(key, body, limit)?.rest().await
    }

    /// Reads a publisher's JSON body, within the budget and within the time of control bodies.
    ///
    /// # Errors
    /// As [`Self::read`]; 400 with line and column if it cannot be parsed.
    pub(crate) async fn json_within_budget<T: DeserializeOwned + Send + 'static>(
        &self,
        key: &str,
        body: Body,
        limit: usize,
    ) -> Result<T, ApiError> {
        let mut reader = self.reader(key, body, limit)?;
        reader.pace = Pace::within(self.pace.idle);
        parse(reader.rest().await?).await
    }

    /// Reads a small JSON body of at most `limit` bytes, outside the budget.
    ///
    /// # Errors
    /// As [`BodyReader::next`]; 400 with line and column if it cannot be parsed.
    pub(crate) async fn json<T: DeserializeOwned + Send + 'static>(
        &self,
        body: Body,
        limit: usize,
    ) -> Result<T, ApiError> {
        let reader = BodyReader::new(body, limit, Pace::within(self.pace.idle))?;
        parse(reader.rest().await?).await
    }

    /// Reads and discards a body, so that the peer can finish sending.
    ///
    /// # Errors
    /// As [`BodyReader::next`].
    pub(crate) async fn discard(&self, body: Body, limit: usize) -> Result<(), ApiError> {
        let mut reader = BodyReader::new(body, limit, Pace::within(self.pace.idle))?;
        let mut left = limit;
        while let Some(data) = reader.frame().await? {
            left = left.checked_sub(data.len()).ok_or_else(|| ApiError::too_large(limit))?;
        }
        Ok(())
    }
}

/// A body that is being read.
pub(crate) struct BodyReader {
    body: Body,
    whole: BytesMut,
    limit: usize,
    announced: u64,
    /// Its part of the budget; `None` for a body outside the budget.
    reserved: Option<Reservation>,
    share: usize,
    pace: Pace,
    began: Instant,
    since_yield: usize,
}

impl BodyReader {
    fn new(body: Body, limit: usize, pace: Pace) -> Result<Self, ApiError> {
        let announced = body.size_hint().lower();
        if announced > limit as u64 {
            return Err(ApiError::too_large(limit));
        }
        let whole = BytesMut::new();
        let began = Instant::now();
        let (reserved, share, since_yield) = (None, 0, 0);
        Ok(Self { body, whole, limit, announced, reserved, share, pace, began, since_yield })
    }

    /// Reads the next bytes; `None` at the end.
    ///
    /// # Errors
    /// 413 above the limit, 429 if the budget has no room, 408 if the body takes or pauses too
    /// long, 400 if it breaks off.
    pub(crate) async fn next(&mut self) -> Result<Option<&[u8]>, ApiError> {
        if self.since_yield >= limits::BODY_SLICE {
            self.since_yield = 0;
            // The caller's work on each piece takes time: other tasks run in between.
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
            if let Some(reserved) = &mut self.reserved {
                reserved.grow(data.len()).map_err(|over| no_room(over, self.share))?;
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

    /// Doubles the buffer as bytes arrive; the announced length is reserved once a part has
    /// arrived.
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

    /// Bytes read so far.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.whole.len()
    }

    /// Returns true if nothing more will come.
    #[must_use]
    pub(crate) fn is_at_end(&self) -> bool {
        self.body.is_end_stream()
    }

    /// All bytes; their part of the budget is free again when the last copy is dropped.
    #[must_use]
    pub(crate) fn into_bytes(self) -> Bytes {
        match self.reserved {
            Some(reserved) => reserved.attach(self.whole),
            None => self.whole.freeze(),
        }
    }

    async fn rest(mut self) -> Result<Bytes, ApiError> {
        while self.next().await?.is_some() {}
        Ok(self.into_bytes())
    }
}

async fn parse<T: DeserializeOwned + Send + 'static>(bytes: Bytes) -> Result<T, ApiError> {
    let parsed = offload(bytes.len(), move || serde_json::from_slice(&bytes)).await?;
    parsed.map_err(|e| ApiError::invalid(format!("the body is not usable: {e}"), None))
}

/// Runs work on this many bytes: at once if they are few, otherwise on the blocking pool.
///
/// # Errors
/// 500 if the work panics.
pub(crate) async fn offload<R: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> R + Send + 'static,
) -> Result<R, ApiError> {
    if bytes <= limits::BODY_SLICE {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(ApiError::internal)
}

/// 429: the budget of request bodies is used up.
fn no_room(over: Exceeded, share: usize) -> ApiError {
    let message = match over {
        Exceeded::Key => format!(
            "the requests of this key that wait or run hold {} MiB already, which is all that \
             one key may hold; send this one again when one of them has been answered",
            share >> 20
        ),
        Exceeded::Server => "the requests of all callers hold as much memory as this server gives \
                             them; send this one again in a moment"
            .to_owned(),
    };
    let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, Code::BodyBudget, message);
    ApiError { retry_after: Some(limits::BODY_RETRY.as_secs()), ..error }
}
