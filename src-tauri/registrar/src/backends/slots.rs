//! Slots: how many requests run and wait at one backend.

use super::{Backend, Backends};
use crate::limits;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The slots of one backend. Replaced when the publisher changes their number; requests that run
/// keep the old ones.
#[derive(Clone)]
pub(super) struct Slots {
    pub(super) max_concurrency: u32,
    /// As many as the publisher allows.
    running: Arc<Semaphore>,
    /// For those that run, and as many that wait.
    running_and_waiting: Arc<Semaphore>,
}

impl Slots {
    pub(super) fn new(max_concurrency: u32) -> Self {
        let max = max_concurrency.clamp(1, wire::limits::MAX_CONCURRENCY) as usize;
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self { max_concurrency, running: semaphore(max), running_and_waiting: semaphore(2 * max) }
    }
}

/// A request that runs at a backend; dropping it ends it.
pub(crate) struct Slot {
    backends: Arc<Backends>,
    backend: Arc<Backend>,
    _permits: [OwnedSemaphorePermit; 2],
}

/// Why a request cannot begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSlot {
    /// As many requests run and wait as the publisher allows.
    Busy,
    /// A sleep recipe runs.
    FallingAsleep,
}

impl Slot {
    /// Waits for a slot, for at most [`limits::SLOT_WAIT`].
    pub(super) async fn acquire(
        backends: Arc<Backends>,
        backend: Arc<Backend>,
    ) -> Result<Self, NoSlot> {
        let Slots { running, running_and_waiting, .. } = backend.slots();
        let place = running_and_waiting.try_acquire_owned().map_err(|_| NoSlot::Busy)?;
        let slot = tokio::time::timeout(limits::SLOT_WAIT, running.acquire_owned()).await;
        let slot = slot.map_err(|_| NoSlot::Busy)?.map_err(|_| NoSlot::Busy)?;
        if !backend.count_begin() {
            return Err(NoSlot::FallingAsleep);
        }
        Ok(Self { backends, backend, _permits: [slot, place] })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.backend.count_end(Instant::now());
        self.backends.show_running(&self.backend);
    }
}

#[cfg(test)]
mod tests {
    use super::Slot;
    use crate::backends::{Backend, Backends};
    use crate::config::parse;
    use crate::home::Home;
    use crate::limits::{SLOT_WAIT, Times};
    use crate::status::Status;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::sync::{Notify, watch};

    fn backend(at_once: u32) -> Arc<Backend> {
        let text = format!(
            r#"{{"llm": {{"providers": [{{"name": "a", "url": "http://127.0.0.1:9", "maxConcurrency": {at_once}}}]}}}}"#
        );
        Arc::new(Backend::new(parse(&text).unwrap().config.providers.remove(0)))
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_requests_run_as_the_publisher_allows_and_as_many_wait() {
        let folder = tempfile::tempdir().unwrap();
        let status = Arc::new(watch::Sender::new(Status::default()));
        let home = Home::at(folder.path()).unwrap();
        let heartbeat_now = Arc::new(Notify::new());
        let backends = Backends::new(&home, Times::default(), status, heartbeat_now).unwrap();
        let backend = backend(2);
        let begin = || Slot::acquire(Arc::clone(&backends), Arc::clone(&backend));
        let first = [begin().await.unwrap(), begin().await.unwrap()];
        let mut waiting = [tokio::spawn(begin()), tokio::spawn(begin())];
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(begin().await.is_err(), "two wait already");
        assert_eq!(backend.running(), 2);
        let [one, _other] = first;
        drop(one);
        let begun = (&mut waiting[0]).await.unwrap();
        assert!(begun.is_ok() && backend.running() == 2, "one has left, and one has begun");
        tokio::time::sleep(SLOT_WAIT).await;
        let [_, late] = waiting;
        assert!(late.await.unwrap().is_err(), "it has waited for too long");
    }

    #[tokio::test]
    async fn no_request_begins_during_a_sleep_recipe_and_no_sleep_recipe_during_a_request() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        let status = Arc::new(watch::Sender::new(Status::default()));
        let backends = Backends::new(&home, Times::default(), status, Arc::default()).unwrap();
        let backend = backend(1);
        let begin = || Slot::acquire(Arc::clone(&backends), Arc::clone(&backend));
        let running = begin().await;
        assert!(running.is_ok() && backend.begin_sleep().is_none());
        drop(running);
        let falling = backend.begin_sleep();
        assert!(falling.is_some() && begin().await.is_err());
        drop(falling);
        assert!(begin().await.is_ok());
    }
}
