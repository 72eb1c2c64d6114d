//! Places for connections: how many there are, and who must leave when they run short.
//!
//! A connection is unproven until a request on it has brought a valid key. Unproven ones can fill the
//! room only up to a part, and when a new one finds no place, the unproven one that has been open
//! longest is closed for it. Each is left open for a moment, so that a crowd which comes back at once
//! does not close those whose request is being answered. Proven ones cannot fill the room either:
//! health checks get in always.

use crate::limits;
use parking_lot::Mutex;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// See the module's page.
pub(crate) struct Room {
    places: Arc<Semaphore>,
    /// The most unproven connections, and the most proven ones.
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    next: u64,
    /// By age: since when they are open, and how they are told to leave.
    unproven: BTreeMap<u64, (Instant, CancellationToken)>,
    proven: usize,
}

impl Room {
    /// With so many places.
    pub(super) fn new(places: usize) -> Arc<Self> {
        let reserve = (places / limits::RESERVE).max(1);
        Arc::new(Self {
            places: Arc::new(Semaphore::new(places)),
            most: places.saturating_sub(reserve).max(1),
            taken: Mutex::default(),
        })
    }

    /// A place for a new connection; where there is none, the oldest unproven one leaves.
    pub(super) async fn enter(self: &Arc<Self>) -> Option<Place> {
        while let Some(wait) = self.oldest_leaves() {
            tokio::time::sleep_until(wait).await;
        }
        let permit = Arc::clone(&self.places).acquire_owned().await.ok()?;
        let mut taken = self.taken.lock();
        taken.next += 1;
        let (number, leave) = (taken.next, CancellationToken::new());
        taken.unproven.insert(number, (Instant::now(), leave.clone()));
        let room = Arc::clone(self);
        Some(Place { room, number, is_proven: AtomicBool::new(false), leave, _permit: permit })
    }

    /// Tells the oldest unproven connection to leave if the room is full; the time to try again when
    /// that one has just come.
    fn oldest_leaves(&self) -> Option<Instant> {
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

/// One connection's place. Dropping it frees it.
pub(crate) struct Place {
    room: Arc<Room>,
    number: u64,
    is_proven: AtomicBool,
    /// Cancelled when the connection must leave.
    leave: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// A request has brought a valid key. False when there is no place for one more of those.
    pub(crate) fn prove(&self) -> bool {
        if self.is_proven() {
            return true;
        }
        let mut taken = self.room.taken.lock();
        if taken.proven >= self.room.most || taken.unproven.remove(&self.number).is_none() {
            return false;
        }
        taken.proven += 1;
        self.is_proven.store(true, Ordering::Relaxed);
        true
    }

    pub(super) fn is_proven(&self) -> bool {
        self.is_proven.load(Ordering::Relaxed)
    }

    /// Waits until the connection must leave for another one.
    pub(super) async fn must_leave(&self) {
        self.leave.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.room.taken.lock();
        if *self.is_proven.get_mut() {
            taken.proven = taken.proven.saturating_sub(1);
        } else {
            taken.unproven.remove(&self.number);
        }
    }
}

/// How many connections there may be: as many as are useful, as far as the system lets the process
/// have files.
pub(super) fn places() -> usize {
    let most = limits::CONNECTIONS + limits::FILES;
    let files = files(most as u64);
    let places = limits::CONNECTIONS.min(files.saturating_sub(limits::FILES)).max(limits::RESERVE);
    tracing::info!(connections = places, files, "the most connections at once");
    places
}

/// How many files the process may have open, after it has asked for `wanted`.
fn files(wanted: u64) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let (current, hard) = (limit.current.unwrap_or(u64::MAX), limit.maximum.unwrap_or(u64::MAX));
    let mut files = current;
    if current < wanted.min(hard) {
        let raised = Rlimit { current: Some(wanted.min(hard)), maximum: limit.maximum };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => files = wanted.min(hard),
            Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
        }
    }
    usize::try_from(files).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Place, Room, limits};
    use std::sync::Arc;
    use tokio::time::Instant;

    async fn enter(room: &Arc<Room>) -> Place {
        room.enter().await.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_left_open_for_a_moment_before_it_leaves_for_another() {
        let room = Room::new(8);
        let mut crowd = Vec::new();
        for _ in 0..7 {
            crowd.push(enter(&room).await);
        }
        let began = Instant::now();
        let _new = enter(&room).await;
        assert_eq!(began.elapsed(), limits::UNPROVEN_LEAST);
        assert!(crowd[0].leave.is_cancelled() && !crowd[1].leave.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_connection_without_a_key_leaves_for_a_new_one_and_a_proven_one_never() {
        let room = Room::new(8);
        let proven = enter(&room).await;
        assert!(proven.prove() && proven.prove());
        let mut crowd = Vec::new();
        for _ in 0..7 {
            crowd.push(enter(&room).await);
        }
        assert!(crowd.iter().all(|place| !place.leave.is_cancelled()));
        // The place is free when the one that leaves has gone.
        let (new, ()) = tokio::join!(enter(&room), async {
            crowd[0].must_leave().await;
            drop(crowd.remove(0));
        });
        assert!(!new.leave.is_cancelled() && !proven.leave.is_cancelled());
        assert!(crowd.iter().all(|place| !place.leave.is_cancelled()));
        assert!(new.prove());
    }

    #[tokio::test(start_paused = true)]
    async fn neither_kind_can_take_the_whole_room() {
        let room = Room::new(8);
        let mut proven = Vec::new();
        for _ in 0..7 {
            let place = enter(&room).await;
            assert!(place.prove());
            proven.push(place);
        }
        let health = enter(&room).await;
        assert!(!health.prove(), "one place is kept for those without a key");
        drop(proven.pop());
        assert!(health.prove());
        drop((health, proven));
        let mut silent = Vec::new();
        for _ in 0..7 {
            silent.push(enter(&room).await);
        }
        let _caller = enter(&room).await;
        assert!(silent[0].leave.is_cancelled(), "one place is kept for those with a key");
        assert_eq!(room.taken.lock().unproven.len(), 7);
    }
}
