//! One published backend: its configuration, its state, and what runs there.

use super::slots::Slots;
use super::target::Target;
use crate::config::{ProviderConfig, Sleep};
use crate::limits;
use crate::status::{BackendState, ProviderStatus};
use crate::wake::WakeError;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use wire::publisher::Rejected;

/// Recipe runs within this time count against their limit.
const HOUR: Duration = Duration::from_secs(3600);

/// Time and result of the last wake.
type LastWake = Option<(Instant, Result<Duration, WakeError>)>;

/// One backend.
pub(crate) struct Backend {
    name: String,
    target: Mutex<Arc<Target>>,
    facts: Mutex<Facts>,
    slots: Mutex<Slots>,
    state: watch::Sender<BackendState>,
    check_now: Notify,
    /// Held while a recipe runs.
    pub(super) recipe: tokio::sync::Mutex<LastWake>,
}

struct Facts {
    message: Option<String>,
    rejection: Option<Rejection>,
    wake_failure: Option<String>,
    running: u32,
    /// A sleep recipe runs: no request begins.
    falling_asleep: bool,
    /// A request ran since the last sleep recipe.
    used: bool,
    last_used: Instant,
    /// Times of the recipe runs within the last hour.
    recipe_runs: VecDeque<Instant>,
}

/// Why the server refused a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Rejection {
    detail: String,
    suggestion: Option<String>,
}

impl Backend {
    pub(super) fn new(provider: ProviderConfig) -> Self {
        let facts = Facts {
            message: None,
            rejection: None,
            wake_failure: None,
            running: 0,
            falling_asleep: false,
            used: true,
            last_used: Instant::now(),
            recipe_runs: VecDeque::new(),
        };
        Self {
            name: provider.name.clone(),
            slots: Mutex::new(Slots::new(provider.max_concurrency)),
            target: Mutex::new(Arc::new(Target::new(provider))),
            facts: Mutex::new(facts),
            state: watch::Sender::new(BackendState::Unknown),
            check_now: Notify::new(),
            recipe: tokio::sync::Mutex::new(None),
        }
    }

    /// Name in the catalogue.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The configuration in force.
    pub(crate) fn provider(&self) -> Arc<ProviderConfig> {
        Arc::clone(&self.target.lock().provider)
    }

    /// Where the requests of tasks go.
    pub(crate) fn target(&self) -> Arc<Target> {
        Arc::clone(&self.target.lock())
    }

    /// Applies a changed configuration and schedules a probe.
    pub(super) fn update(&self, provider: &ProviderConfig) {
        let mut current = self.target.lock();
        if *current.provider != *provider {
            *current = Arc::new(Target::new(provider.clone()));
            drop(current);
            self.facts.lock().wake_failure = None;
            let mut slots = self.slots.lock();
            if slots.max_concurrency != provider.max_concurrency {
                *slots = Slots::new(provider.max_concurrency);
            }
            drop(slots);
            self.schedule_check();
        }
    }

    pub(super) fn slots(&self) -> Slots {
        self.slots.lock().clone()
    }

    /// The state found last.
    pub(crate) fn state(&self) -> BackendState {
        *self.state.borrow()
    }

    /// Sets state and message; true if one of them changed.
    pub(super) fn set_state(&self, state: BackendState, message: Option<String>) -> bool {
        let mut facts = self.facts.lock();
        let changed = self.state.send_if_modified(|now| std::mem::replace(now, state) != state);
        changed | (std::mem::replace(&mut facts.message, message.clone()) != message)
    }

    /// Waits for the first probe, for at most the time of two.
    pub(super) async fn wait_for_first_probe(&self) {
        let mut state = self.state.subscribe();
        let known = state.wait_for(|state| *state != BackendState::Unknown);
        let _ = tokio::time::timeout(limits::READY * 2, known).await;
    }

    /// Makes the monitor probe at once.
    pub(super) fn schedule_check(&self) {
        self.check_now.notify_one();
    }

    /// Waits for the next scheduled probe, for at most `max`.
    pub(super) async fn wait_for_check(&self, max: Duration) {
        let _ = tokio::time::timeout(max, self.check_now.notified()).await;
    }

    /// Number of running requests.
    pub(super) fn running(&self) -> u32 {
        self.facts.lock().running
    }

    /// Counts a request that begins; false while a sleep recipe runs.
    pub(super) fn count_begin(&self) -> bool {
        let mut facts = self.facts.lock();
        if facts.falling_asleep {
            return false;
        }
        facts.running += 1;
        facts.used = true;
        true
    }

    /// Counts a request that ends.
    pub(super) fn count_end(&self, now: Instant) {
        let mut facts = self.facts.lock();
        facts.running = facts.running.saturating_sub(1);
        facts.last_used = now;
    }

    pub(super) fn set_rejected(&self, rejected: Option<&Rejected>) {
        let rejection = rejected.map(|rejected| Rejection {
            detail: rejected.detail.clone(),
            suggestion: usable_name(rejected.suggestion.as_deref()),
        });
        self.facts.lock().rejection = rejection;
    }

    pub(super) fn set_wake_failure(&self, cause: Option<String>) {
        self.facts.lock().wake_failure = cause;
    }

    pub(super) fn wake_failure(&self) -> Option<String> {
        self.facts.lock().wake_failure.clone()
    }

    /// Counts a run of a recipe; false if the limit per hour is reached.
    pub(super) fn count_recipe_run(&self, now: Instant) -> bool {
        let runs = &mut self.facts.lock().recipe_runs;
        while runs.front().is_some_and(|ran| now - *ran >= HOUR) {
            runs.pop_front();
        }
        let allowed = runs.len() < limits::RECIPE_RUNS_PER_HOUR;
        if allowed {
            runs.push_back(now);
        }
        allowed
    }

    /// The sleep recipe, if the backend has been idle for long enough.
    pub(super) fn due_sleep(&self, now: Instant) -> Option<Sleep> {
        let sleep = self.provider().sleep.clone()?;
        let facts = self.facts.lock();
        let idle = facts.running == 0 && now - facts.last_used >= sleep.idle;
        (idle && facts.used && self.state() == BackendState::Ready).then_some(sleep)
    }

    /// Lets no request begin until the value is dropped; `None` while requests run.
    pub(super) fn begin_sleep(&self) -> Option<FallingAsleep<'_>> {
        let mut facts = self.facts.lock();
        if facts.running > 0 {
            return None;
        }
        facts.falling_asleep = true;
        Some(FallingAsleep(self))
    }

    /// Starts a new idle time: the sleep recipe runs once per time of use.
    pub(super) fn mark_unused(&self, now: Instant) {
        let mut facts = self.facts.lock();
        facts.used = false;
        facts.last_used = now;
    }

    /// The backend as people see it.
    pub(super) fn status(&self) -> ProviderStatus {
        let facts = self.facts.lock();
        let (state, message, suggestion) = match &facts.rejection {
            Some(why) => (BackendState::Rejected, Some(why.detail.clone()), why.suggestion.clone()),
            None => (self.state(), facts.message.clone(), None),
        };
        let name = self.name.clone();
        ProviderStatus { name, state, message, suggestion, running: facts.running }
    }
}

/// The suggested name if it is valid in config.json. A server may send anything.
fn usable_name(suggestion: Option<&str>) -> Option<String> {
    let suggestion = suggestion?;
    wire::names::normalise(suggestion).ok().filter(|name| name == suggestion)
}

/// A sleep recipe that runs at a backend.
pub(super) struct FallingAsleep<'a>(&'a Backend);

impl Drop for FallingAsleep<'_> {
    fn drop(&mut self) {
        self.0.facts.lock().falling_asleep = false;
    }
}
