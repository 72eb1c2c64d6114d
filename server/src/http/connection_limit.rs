//! Limits the number of connections and decides which one is closed when places run short.
//!
//! A connection is unproven until a request on it has brought a valid key. Unproven ones may take
//! only a part of the places; when a new one finds none, the unproven one that has been open
//! longest is closed for it, but none before a quarter of a second, so that a crowd that returns at
//! once does not close those whose request is being served. Proven ones may not take all places
//! either, so that health checks always connect.

use crate::limits;
use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The places of all connections.
pub(crate) struct ConnectionLimit {
    places: Arc<Semaphore>,
    /// Limit of the unproven connections, and of the proven ones.
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    next: u64,
    /// By age: the time of accept, and the token that closes the connection.
    unproven: BTreeMap<u64, (Instant, CancellationToken)>,
    proven: usize,
}

impl ConnectionLimit {
    /// A limit of this many connections.
    pub(super) fn new(places: usize) -> Arc<Self> {
        let reserve = (places / limits::RESERVE).max(1);
        Arc::new(Self {
            places: Arc::new(Semaphore::new(places)),
            most: places.saturating_sub(reserve).max(1),
            taken: Mutex::default(),
        })
    }

    /// Takes a place for a new connection, closing the oldest unproven one if there is none. `None`
    /// only after the limit itself is closed.
    pub(super) async fn enter(self: &Arc<Self>) -> Option<Place> {
        while let Some(wait) = self.close_oldest() {
            tokio::time::sleep_until(wait).await;
        }
        let permit = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let mut taken = self.taken.lock();
        taken.next += 1;
        let (number, leave) = (taken.next, CancellationToken::new());
        taken.unproven.insert(number, (Instant::now(), leave.clone()));
        let limit = Arc::clone(self);
        Some(Place { limit, number, is_proven: AtomicBool::new(false), leave, _permit: permit })
    }

    /// Closes the oldest unproven connection if all places are taken. Returns when to try again if
    /// that one is too young to be closed.
    fn close_oldest(&self) -> Option<Instant> {
        let mut taken = self.taken.lock();
        if taken.unproven.len() < self.most && self.places.available_permits() > 0 {
            return None;
        }
        let oldest = taken.unproven.first_entry()?;
        let may_leave = oldest.get().0 + limits::UNPROVEN_LEAST;
        if Instant::now() < may_leave {
            return Some(may_leave);
        }
        oldest.remove().1.cancel();
        None
    }
}

/// One connection's place; dropping it frees the place.
pub(crate) struct Place {
    limit: Arc<ConnectionLimit>,
    number: u64,
    is_proven: AtomicBool,
    /// Cancelled when the connection must close.
    leave: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// Records that a request had a valid key. Returns false if the limit of proven connections is
    /// reached.
    pub(crate) fn prove(&self) -> bool {
        if self.is_proven() {
            return true;
        }
        let mut taken = self.limit.taken.lock();
        if taken.proven >= self.limit.most || taken.unproven.remove(&self.number).is_none() {
            return false;
        }
        taken.proven += 1;
        self.is_proven.store(true, Ordering::Relaxed);
        true
    }

    pub(super) fn is_proven(&self) -> bool {
        self.is_proven.load(Ordering::Relaxed)
    }

    /// Completes when the connection must close for another one.
    pub(super) async fn must_leave(&self) {
        self.leave.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.limit.taken.lock();
        if *self.is_proven.get_mut() {
            taken.proven = taken.proven.saturating_sub(1);
        } else {
            taken.unproven.remove(&self.number);
        }
    }
}

/// Number of connections that the process can serve: [`limits::CONNECTIONS`], or fewer if the
/// system allows fewer files.
pub(super) fn places() -> usize {
    let most = limits::CONNECTIONS + limits::FILES;
    let files = files(most as u64);
    let places = limits::CONNECTIONS.min(files.saturating_sub(limits::FILES)).max(limits::RESERVE);
    tracing::info!(connections = places, files, "the most connections at once");
    places
}

/// Raises the limit of open files to `wanted` as far as the system allows, and returns the limit.
fn files(wanted: u64) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let (current, hard) = (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX));
    let mut files = current;
    if current < wanted.min(hard) {
        let raised = Rlimit { current: Some(wanted.min(hard)), maximum: limit.maximum };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => files = wanted.min(hard),
            Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
        }
    }
    usize::try_from(files).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::{ConnectionLimit, Place, limits};
    use std::sync::Arc;
    use tokio::time::Instant;

    async fn enter(limit: &Arc<ConnectionLimit>) -> Place {
        limit.enter().await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_stays_open_for_a_moment_before_it_is_closed_for_another() {
        let limit = ConnectionLimit::new(8);
        let mut crowd = Vec::new();
        for _ in 0..7 {
            crowd.push(enter(&limit).await);
        }
        let began = Instant::now();
        let _new = enter(&limit).await;
        assert_eq!(began.elapsed(), limits::UNPROVEN_LEAST);
        assert!(crowd[0].leave.is_cancelled() && !crowd[1].leave.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_connection_without_a_key_is_closed_for_a_new_one_and_a_proven_one_never() {
        let limit = ConnectionLimit::new(8);
        let proven = enter(&limit).await;
        assert!(proven.prove() && proven.prove());
        let mut crowd = Vec::new();
        for _ in 0..7 {
            crowd.push(enter(&limit).await);
        }
        assert!(crowd.iter().all(|place| !place.leave.is_cancelled()));
        // The place is free once the closed connection has ended.
        let (new, ()) = tokio::join!(enter(&limit), async {
            crowd[0].must_leave().await;
            drop(crowd.remove(0));
        });
        assert!(!new.leave.is_cancelled() && !proven.leave.is_cancelled());
        assert!(crowd.iter().all(|place| !place.leave.is_cancelled()));
        assert!(new.prove());
    }

    #[tokio::test(start_paused = true)]
    async fn neither_kind_of_connection_can_take_all_places() {
        let limit = ConnectionLimit::new(8);
        let mut proven = Vec::new();
        for _ in 0..7 {
            let place = enter(&limit).await;
            assert!(place.prove());
            proven.push(place);
        }
        let health = enter(&limit).await;
        assert!(!health.prove(), "one place is kept for those without a key");
        drop(proven.pop());
        assert!(health.prove());
        drop((health, proven));
        let mut silent = Vec::new();
        for _ in 0..7 {
            silent.push(enter(&limit).await);
        }
        let _caller = enter(&limit).await;
        assert!(silent[0].leave.is_cancelled(), "one place is kept for those with a key");
        assert_eq!(limit.taken.lock().unproven.len(), 7);
    }
}
