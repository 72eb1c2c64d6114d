//! Random sequences of connection endings for the registrar's reconnect policy, checked against its contract.

use crate::choices::Choices;
use registrar::limits::Times;
use registrar::mcpd_client::Fault;
use registrar::reconnect_policy::{Ending, Next, ReconnectPolicy};
use std::time::Duration;
use tokio::time::Instant;

/// State that an observer of the policy can derive by itself.
struct Observer {
    times: Times,
    online: Option<Instant>,
    /// Number of waits since the last healthy connection or resume.
    waits: u32,
    /// Number of short waits since the last connection that worked.
    quick_waits: u32,
    /// Start of the current series of conflicts.
    conflict: Option<Instant>,
}

/// Runs up to `steps` endings, or until the choices are exhausted.
///
/// # Errors
/// A message with the ending after which the policy broke its contract, and how.
pub fn run(choices: &mut Choices<'_>, steps: usize) -> Result<(), String> {
    let times = Times::default();
    let mut policy = ReconnectPolicy::new(times);
    let mut observer = Observer { times, online: None, waits: 0, quick_waits: 0, conflict: None };
    let mut now = Instant::now();
    for number in 0..steps {
        if choices.is_exhausted() {
            break;
        }
        now += Duration::from_millis(choices.below(100_000));
        if choices.chance(40) {
            policy.online(now);
            observer.online.get_or_insert(now);
            observer.conflict = None;
            now += Duration::from_millis(choices.below(100_000));
        }
        let ending = draw(choices);
        let (busy, random) = (choices.chance(50), choices.fraction());
        let next = policy.ended(ending.clone(), busy, now, random);
        observer
            .check(&ending, busy, &next, now)
            .map_err(|error| format!("ending {number}, {ending:?} became {next:?}: {error}"))?;
        if let Next::Wait { delay, .. } = next {
            now += delay;
        }
    }
    Ok(())
}

/// Draws the next ending.
fn draw(choices: &mut Choices<'_>) -> Ending {
    let after = match choices.below(20) {
        0 => Duration::MAX,
        1 => Duration::from_secs(1_000_000_000),
        _ => Duration::from_millis(choices.below(200_000)),
    };
    match choices.below(10) {
        0 => Ending::Fault(Fault::UnknownSession),
        1 => Ending::Fault(Fault::Denied("no".into())),
        2 | 3 => Ending::Fault(Fault::Conflict("held".into())),
        4 => Ending::Fault(Fault::Failed { message: "no".into(), retry_after: Some(after) }),
        5 => Ending::Fault(Fault::Failed { message: "no".into(), retry_after: None }),
        6 => Ending::Drain(after),
        7 => Ending::Superseded,
        8 if choices.chance(50) => Ending::Revoked("revoked".into()),
        8 => Ending::Resume,
        _ => Ending::Lost("gone".into()),
    }
}

impl Observer {
    fn check(
        &mut self,
        ending: &Ending,
        busy: bool,
        next: &Next,
        now: Instant,
    ) -> Result<(), String> {
        let online = self.online.take();
        if online.is_some_and(|since| now - since >= self.times.healthy) {
            self.waits = 0;
        }
        let worked = online.is_some_and(|since| now - since >= self.times.backoff_min);
        if worked {
            self.quick_waits = 0;
        }
        let is_conflict = matches!(ending, Ending::Superseded | Ending::Fault(Fault::Conflict(_)));
        let first = is_conflict.then(|| *self.conflict.get_or_insert(now));
        let conflict_lasts = first.is_some_and(|since| now - since >= self.times.conflict);
        match next {
            Next::Register => {
                let resumed = *ending == Ending::Resume;
                let unknown = *ending == Ending::Fault(Fault::UnknownSession);
                if resumed {
                    self.waits = 0;
                }
                require(resumed || unknown && worked, "it must not register again at once")
            }
            Next::Stop(_) => {
                let denied = matches!(ending, Ending::Revoked(_) | Ending::Fault(Fault::Denied(_)));
                if conflict_lasts {
                    self.conflict = None;
                }
                require(denied || conflict_lasts, "it must not give up: this ending is temporary")
            }
            Next::Wait { delay, .. } => {
                require(!conflict_lasts, "the conflict has lasted long enough to give up")?;
                self.check_delay(ending, busy || worked, *delay)
            }
        }
    }

    fn check_delay(&mut self, ending: &Ending, soon: bool, delay: Duration) -> Result<(), String> {
        let Times { backoff_min, backoff_step, backoff_max, quick_step, quick_max, .. } =
            self.times;
        let backoff = backoff_step.saturating_mul(2_u32.saturating_pow(self.waits.min(16)));
        // A server cannot request a longer delay than this.
        let capped = |requested: &Duration| (*requested).min(Duration::from_secs(600));
        let (least, most) = match ending {
            Ending::Lost(_) | Ending::Fault(Fault::Failed { retry_after: None, .. }) if soon => {
                let quick =
                    quick_step.saturating_mul(2_u32.saturating_pow(self.quick_waits.min(16)));
                self.quick_waits += 1;
                return require(delay <= quick.min(quick_max), "the delay is too long");
            }
            Ending::Drain(requested) => {
                let requested = capped(requested);
                (requested, capped(&requested.saturating_add(backoff_step)))
            }
            Ending::Fault(Fault::Failed { retry_after: Some(requested), .. }) => {
                let requested = capped(requested);
                (requested.max(backoff_min), requested.max(backoff.min(backoff_max)))
            }
            Ending::Fault(_)
            | Ending::Lost(_)
            | Ending::Superseded
            | Ending::Revoked(_)
            | Ending::Resume => (backoff_min, backoff.min(backoff_max)),
        };
        self.waits += 1;
        let must_not_wait =
            matches!(ending, Ending::Resume | Ending::Revoked(_) | Ending::Fault(Fault::Denied(_)));
        require(!must_not_wait, "it must not wait after this ending")?;
        require((least..=most).contains(&delay), "the delay is out of bounds")
    }
}

fn require(condition: bool, otherwise: &str) -> Result<(), String> {
    if condition { Ok(()) } else { Err(otherwise.to_owned()) }
}
