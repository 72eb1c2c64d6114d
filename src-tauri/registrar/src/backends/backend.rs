//! One published backend: what its owner wrote, what was seen of it, what runs there.

use super::Backends;
use crate::config::{ProviderConfig, Sleep};
use crate::limits;
use crate::status::{BackendState, ProviderStatus};
use crate::wake::WakeError;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use wire::publisher::Rejected;

/// Recipes run within this time count against their limit.
const HOUR: Duration = Duration::from_secs(3600);

/// How the last wake ended, and when.
type LastWake = Option<(Instant, Result<Duration, WakeError>)>;

/// One backend.
pub(crate) struct Backend {
    name: String,
    provider: Mutex<Arc<ProviderConfig>>,
    facts: Mutex<Facts>,
    room: Mutex<Room>,
    state: watch::Sender<BackendState>,
    poked: Notify,
    /// Held while a recipe is at work.
    pub(super) recipe: tokio::sync::Mutex<LastWake>,
}

/// Why the server did not take a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rejection {
    detail: String,
    suggestion: Option<String>,
}

/// Where requests run, and where they wait for that.
#[derive(Clone)]
struct Room {
    at_once: u32,
    /// As many as its owner allows.
    slots: Arc<Semaphore>,
    /// For those that run, and as many that wait.
    places: Arc<Semaphore>,
}

impl Room {
    fn for_requests(at_once: u32) -> Self {
        let most = at_once.clamp(1, wire::limits::MAX_CONCURRENCY) as usize;
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self { at_once, slots: semaphore(most), places: semaphore(2 * most) }
    }
}

struct Facts {
    message: Option<String>,
    rejected: Option<Rejection>,
    wake_failure: Option<String>,
    running: u32,
    /// A sleep recipe is at work: no request begins.
    falling_asleep: bool,
    /// Since the last sleep recipe.
    used: bool,
    last_used: Instant,
    /// When recipes ran within the last hour.
    recipes: VecDeque<Instant>,
}

impl Backend {
    pub(super) fn new(provider: ProviderConfig) -> Self {
        let facts = Facts {
            message: None,
            rejected: None,
            wake_failure: None,
            running: 0,
            falling_asleep: false,
            used: true,
            last_used: Instant::now(),
            recipes: VecDeque::new(),
        };
        Self {
            name: provider.name.clone(),
            room: Mutex::new(Room::for_requests(provider.max_concurrency)),
            provider: Mutex::new(Arc::new(provider)),
            facts: Mutex::new(facts),
            state: watch::Sender::new(BackendState::Unknown),
            poked: Notify::new(),
            recipe: tokio::sync::Mutex::new(None),
        }
    }

    /// Name in the catalogue.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What its owner wrote last.
    pub(crate) fn provider(&self) -> Arc<ProviderConfig> {
        Arc::clone(&self.provider.lock())
    }

    /// Takes a changed entry over, and looks again when there is one.
    pub(super) fn change(&self, provider: &ProviderConfig) {
        let mut current = self.provider.lock();
        if **current != *provider {
            *current = Arc::new(provider.clone());
            drop(current);
            self.facts.lock().wake_failure = None;
            let mut room = self.room.lock();
            if room.at_once != provider.max_concurrency {
                // What runs goes on in the old room.
                *room = Room::for_requests(provider.max_concurrency);
            }
            drop(room);
            self.poke();
        }
    }

    /// What was seen last.
    pub(crate) fn state(&self) -> BackendState {
        *self.state.borrow()
    }

    /// Requests running.
    pub(super) fn running(&self) -> u32 {
        self.facts.lock().running
    }

    /// Waits until it has been looked at; bounded by the time of one look.
    pub(super) async fn until_known(&self) {
        let mut seen = self.state.subscribe();
        let known = seen.wait_for(|state| *state != BackendState::Unknown);
        let _ = tokio::time::timeout(limits::READY * 2, known).await;
    }

    /// True when something is different now.
    pub(super) fn set(&self, state: BackendState, message: Option<String>) -> bool {
        let mut facts = self.facts.lock();
        let other = self.state.send_if_modified(|now| std::mem::replace(now, state) != state);
        other | (std::mem::replace(&mut facts.message, message.clone()) != message)
    }

    pub(super) fn set_rejected(&self, why: Option<&Rejected>) {
        let rejection = why.map(|rejected| Rejection {
            detail: rejected.detail.clone(),
            suggestion: usable_name(rejected.suggestion.as_deref()),
        });
        self.facts.lock().rejected = rejection;
    }

    pub(super) fn set_wake_failure(&self, why: Option<String>) {
        self.facts.lock().wake_failure = why;
    }

    pub(super) fn wake_failure(&self) -> Option<String> {
        self.facts.lock().wake_failure.clone()
    }

    /// Counts a run of a recipe, unless there were too many within the hour.
    pub(super) fn may_run_recipe(&self, now: Instant) -> bool {
        let recipes = &mut self.facts.lock().recipes;
        while recipes.front().is_some_and(|ran| now - *ran >= HOUR) {
            recipes.pop_front();
        }
        let may = recipes.len() < limits::RECIPE_RUNS_PER_HOUR;
        if may {
            recipes.push_back(now);
        }
        may
    }

    /// Its sleep recipe, when it has been idle for long enough.
    pub(super) fn may_sleep(&self, now: Instant) -> Option<Sleep> {
        let sleep = self.provider().sleep.clone()?;
        let facts = self.facts.lock();
        let idle = facts.running == 0 && now - facts.last_used >= sleep.idle;
        (idle && facts.used && self.state() == BackendState::Ready).then_some(sleep)
    }

    /// From now on no request begins, until the value's drop; `None` while requests run.
    pub(super) fn fall_asleep(&self) -> Option<FallingAsleep<'_>> {
        let mut facts = self.facts.lock();
        if facts.running > 0 {
            return None;
        }
        facts.falling_asleep = true;
        Some(FallingAsleep(self))
    }

    /// The sleep recipe runs: once per time of use.
    pub(super) fn used(&self, now: Instant) {
        let mut facts = self.facts.lock();
        facts.used = false;
        facts.last_used = now;
    }

    pub(super) fn poke(&self) {
        self.poked.notify_one();
    }

    pub(super) async fn until_poked(&self, at_most: Duration) {
        let _ = tokio::time::timeout(at_most, self.poked.notified()).await;
    }

    /// For people.
    pub(super) fn status(&self) -> ProviderStatus {
        let facts = self.facts.lock();
        let (state, message, suggestion) = match &facts.rejected {
            Some(why) => (BackendState::Rejected, Some(why.detail.clone()), why.suggestion.clone()),
            None => (self.state(), facts.message.clone(), None),
        };
        let name = self.name.clone();
        ProviderStatus { name, state, message, suggestion, running: facts.running }
    }
}

/// A suggested name that may stand in the file; what a server sends may be anything.
fn usable_name(suggestion: Option<&str>) -> Option<String> {
    let suggestion = suggestion?;
    wire::names::normalise(suggestion).ok().filter(|name| name == suggestion)
}

/// A sleep recipe is at work at a backend.
pub(super) struct FallingAsleep<'a>(&'a Backend);

impl Drop for FallingAsleep<'_> {
    fn drop(&mut self) {
        self.0.facts.lock().falling_asleep = false;
    }
}

/// A request that runs at a backend.
pub(crate) struct Running {
    backends: Arc<Backends>,
    backend: Arc<Backend>,
    _slot_and_place: [OwnedSemaphorePermit; 2],
}

/// Why a request cannot begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoSlot {
    /// As many run and wait as the owner allows.
    Busy,
    /// A sleep recipe is at work.
    FallingAsleep,
}

impl Running {
    /// As soon as there is a slot; an error when too many wait for one already, when it takes too long, or
    /// while a sleep recipe is at work.
    pub(super) async fn begin(
        backends: Arc<Backends>,
        backend: Arc<Backend>,
    ) -> Result<Self, NoSlot> {
        let Room { slots, places, .. } = backend.room.lock().clone();
        let place = places.try_acquire_owned().map_err(|_| NoSlot::Busy)?;
        let slot = tokio::time::timeout(limits::SLOT_WAIT, slots.acquire_owned()).await;
        let slot = slot.map_err(|_| NoSlot::Busy)?.map_err(|_| NoSlot::Busy)?;
        {
            let mut facts = backend.facts.lock();
            if facts.falling_asleep {
                return Err(NoSlot::FallingAsleep);
            }
            facts.running += 1;
            facts.used = true;
        }
        Ok(Self { backends, backend, _slot_and_place: [slot, place] })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        {
            let mut facts = self.backend.facts.lock();
            facts.running = facts.running.saturating_sub(1);
            facts.last_used = Instant::now();
        }
        self.backends.show_running(&self.backend);
    }
}

#[cfg(test)]
mod tests {
    use super::{Backend, Running};
    use crate::backends::Backends;
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
    async fn no_more_run_at_once_than_their_owner_allows_and_as_many_wait() {
        let folder = tempfile::tempdir().unwrap();
        let board = Arc::new(watch::Sender::new(Status::default()));
        let home = Home::at(folder.path()).unwrap();
        let beat = Arc::new(Notify::new());
        let backends = Backends::new(&home, Times::default(), board, beat).unwrap();
        let backend = backend(2);
        let begin = || Running::begin(Arc::clone(&backends), Arc::clone(&backend));
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
    async fn no_request_begins_while_it_is_put_to_sleep_and_no_sleep_while_one_runs() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        let board = Arc::new(watch::Sender::new(Status::default()));
        let backends = Backends::new(&home, Times::default(), board, Arc::default()).unwrap();
        let backend = backend(1);
        let begin = || Running::begin(Arc::clone(&backends), Arc::clone(&backend));
        let running = begin().await;
        assert!(running.is_ok() && backend.fall_asleep().is_none());
        drop(running);
        let falling = backend.fall_asleep();
        assert!(falling.is_some() && begin().await.is_err());
        drop(falling);
        assert!(begin().await.is_ok());
    }
}
