//! The registrar's session under any sequence of endings, beside what was promised of it.

use crate::tape::Tape;
use registrar::limits::Times;
use registrar::mcpd_client::Fault;
use registrar::reconnect_policy::{Ending, Next, ReconnectPolicy};
use std::time::Duration;
use tokio::time::Instant;

/// What somebody who only watches would count.
struct Watcher {
    times: Times,
    online: Option<Instant>,
    /// Waits since the last long connection or resume.
    waits: u32,
    /// The first of the conflicts that are not yet over.
    conflict: Option<Instant>,
}

/// Runs endings from the tape until it is over or so many are done.
///
/// # Errors
/// What was not as promised, after which ending.
pub fn run(tape: &mut Tape<'_>, steps: usize) -> Result<(), String> {
    let times = Times::default();
    let mut session = ReconnectPolicy::new(times);
    let mut watcher = Watcher { times, online: None, waits: 0, conflict: None };
    let mut now = Instant::now();
    for number in 0..steps {
        if tape.is_over() {
            break;
        }
        now += Duration::from_millis(tape.below(100_000));
        if tape.chance(40) {
            session.online(now);
            watcher.online.get_or_insert(now);
            watcher.conflict = None;
            now += Duration::from_millis(tape.below(100_000));
        }
        let ending = draw(tape);
        let random = tape.fraction();
        let next = session.ended(ending.clone(), now, random);
        watcher
            .judge(&ending, &next, now)
            .map_err(|why| format!("ending {number}, {ending:?} became {next:?}: {why}"))?;
        if let Next::Wait { delay, .. } = next {
            now += delay;
        }
    }
    Ok(())
}

/// The next ending.
fn draw(tape: &mut Tape<'_>) -> Ending {
    let after = match tape.below(20) {
        0 => Duration::MAX,
        1 => Duration::from_secs(1_000_000_000),
        _ => Duration::from_millis(tape.below(200_000)),
    };
    match tape.below(10) {
        0 => Ending::Fault(Fault::UnknownSession),
        1 => Ending::Fault(Fault::Denied("no".into())),
        2 | 3 => Ending::Fault(Fault::Conflict("held".into())),
        4 => Ending::Fault(Fault::Failed { message: "no".into(), retry_after: Some(after) }),
        5 => Ending::Fault(Fault::Failed { message: "no".into(), retry_after: None }),
        6 => Ending::Drain(after),
        7 => Ending::Superseded,
        8 if tape.chance(50) => Ending::Revoked("revoked".into()),
        8 => Ending::Resume,
        _ => Ending::Lost("gone".into()),
    }
}

impl Watcher {
    fn judge(&mut self, ending: &Ending, next: &Next, now: Instant) -> Result<(), String> {
        let online = self.online.take();
        if online.is_some_and(|since| now - since >= self.times.healthy) {
            self.waits = 0;
        }
        let conflict = matches!(ending, Ending::Superseded | Ending::Fault(Fault::Conflict(_)));
        let first = conflict.then(|| *self.conflict.get_or_insert(now));
        match next {
            Next::Register => {
                let resumed = *ending == Ending::Resume;
                let forgotten = *ending == Ending::Fault(Fault::UnknownSession);
                if resumed {
                    self.waits = 0;
                }
                let held = online.is_some_and(|since| now - since >= self.times.backoff_min);
                told(resumed || forgotten && held, "it must not come back at once")
            }
            Next::Stop(_) => {
                let denied = matches!(ending, Ending::Revoked(_) | Ending::Fault(Fault::Denied(_)));
                let held = first.is_some_and(|since| now - since >= self.times.conflict);
                if held {
                    self.conflict = None;
                }
                told(denied || held, "nothing that only a person can help")
            }
            Next::Wait { delay, .. } => {
                let held = first.is_some_and(|since| now - since >= self.times.conflict);
                told(!held, "the conflict has lasted long enough")?;
                self.waited(ending, *delay)
            }
        }
    }

    fn waited(&mut self, ending: &Ending, delay: Duration) -> Result<(), String> {
        let Times { backoff_min, backoff_step, backoff_max, .. } = self.times;
        let bound = backoff_step.saturating_mul(2_u32.saturating_pow(self.waits.min(16)));
        self.waits += 1;
        // No server may ask for more.
        let heard = |asked: &Duration| (*asked).min(Duration::from_secs(600));
        let (least, most) = match ending {
            Ending::Drain(asked) => {
                (heard(asked), heard(&heard(asked).saturating_add(backoff_step)))
            }
            Ending::Fault(Fault::Failed { retry_after: Some(asked), .. }) => {
                (heard(asked).max(backoff_min), heard(asked).max(bound.min(backoff_max)))
            }
            Ending::Fault(_)
            | Ending::Lost(_)
            | Ending::Superseded
            | Ending::Revoked(_)
            | Ending::Resume => (backoff_min, bound.min(backoff_max)),
        };
        let final_ones =
            matches!(ending, Ending::Resume | Ending::Revoked(_) | Ending::Fault(Fault::Denied(_)));
        told(!final_ones, "waiting does not help here")?;
        told((least..=most).contains(&delay), "the delay is outside of its bounds")
    }
}

fn told(right: bool, why: &str) -> Result<(), String> {
    if right { Ok(()) } else { Err(why.to_owned()) }
}
