//! Decides what follows the end of a connection: register again, wait, or stop. Pure: the moment and
//! the random number are arguments, so that every path can be tested.

use crate::limits::{self, Times};
use crate::mcpd_client::Fault;
use std::time::Duration;
use tokio::time::Instant;

/// Remedy for a session that another machine holds.
const TAKEOVER: &str = "to publish from this machine instead, run `mcplocal-agent takeover`";

/// How a connection, or the attempt to make one, ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// A request failed.
    Fault(Fault),
    /// The control channel broke; the cause.
    Lost(String),
    /// The server shuts down and asks for a pause of this length.
    Drain(Duration),
    /// Another process uses this session.
    Superseded,
    /// The token was revoked; the reason.
    Revoked(String),
    /// The machine was suspended or has another network, or a person wants a connection now.
    Resume,
}

impl From<Fault> for Ending {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// The next step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Register at once.
    Register,
    /// Register after a delay.
    Wait {
        /// The delay.
        delay: Duration,
        /// The cause, for people.
        message: String,
        /// Tries since the last success.
        attempt: u32,
    },
    /// Do nothing until a person has changed something; the cause.
    Stop(String),
}

/// The history of connections, as far as it decides.
#[derive(Debug)]
pub struct ReconnectPolicy {
    times: Times,
    /// Failed tries since the last healthy connection.
    tries: u32,
    /// Tries after a short delay since the last connection that worked.
    quick_tries: u32,
    online_since: Option<Instant>,
    conflict_since: Option<Instant>,
    /// Time of the last register that the server asked for by `registerAgain`.
    registered_again: Option<Instant>,
}

impl ReconnectPolicy {
    /// A policy without history.
    #[must_use]
    pub fn new(times: Times) -> Self {
        let (online_since, conflict_since, registered_again) = (None, None, None);
        Self { times, tries: 0, quick_tries: 0, online_since, conflict_since, registered_again }
    }

    /// Records that the channel is open.
    pub fn online(&mut self, now: Instant) {
        self.online_since.get_or_insert(now);
        self.conflict_since = None;
    }

    /// True if the server's `registerAgain` is obeyed now: at most once per idle heartbeat, so that a
    /// server that always asks for it causes no loop.
    pub fn registers_again(&mut self, now: Instant) -> bool {
        let pause = self.times.heartbeat.mul_f64(0.8);
        let obey = self.registered_again.is_none_or(|last| now - last >= pause);
        if obey {
            self.registered_again = Some(now);
        }
        obey
    }

    /// Decides what follows an ending. After a connection that worked, and while answers are
    /// unfinished (`busy`), the publisher comes back soon: the server waits for what was lost with it,
    /// but not for long. `random` is in 0..1.
    pub fn ended(&mut self, ending: Ending, busy: bool, now: Instant, random: f64) -> Next {
        let was_online = self.online_since.take();
        if was_online.is_some_and(|since| now - since >= self.times.healthy) {
            self.tries = 0;
        }
        let worked = was_online.is_some_and(|since| now - since >= self.times.backoff_min);
        if worked {
            self.quick_tries = 0;
        }
        match ending {
            Ending::Resume => {
                self.tries = 0;
                Next::Register
            }
            // At once only if the session had worked for a while: a server that forgets every
            // session would cause a loop.
            Ending::Fault(Fault::UnknownSession) if worked => Next::Register,
            Ending::Fault(Fault::Denied(message)) => Next::Stop(message),
            Ending::Revoked(reason) => Next::Stop(format!("the server says: {reason}")),
            Ending::Fault(Fault::Conflict(message)) => self.conflict(message, now, random),
            Ending::Superseded => {
                self.conflict("another process publishes with this session".into(), now, random)
            }
            Ending::Drain(pause) => {
                let jitter = self.times.backoff_step.mul_f64(random);
                self.wait(bounded(bounded(pause) + jitter), "the server restarts".into())
            }
            Ending::Lost(message) | Ending::Fault(Fault::Failed { message, retry_after: None })
                if busy || worked =>
            {
                let delay = self.quick_backoff(random);
                self.quick_tries = self.quick_tries.saturating_add(1);
                Next::Wait { delay, message, attempt: self.quick_tries }
            }
            Ending::Fault(Fault::Failed { message, retry_after }) => {
                let pause = bounded(retry_after.unwrap_or_default());
                self.wait(self.backoff(random).max(pause), message)
            }
            Ending::Fault(fault @ Fault::UnknownSession) => {
                self.wait(self.backoff(random), fault.to_string())
            }
            Ending::Lost(message) => self.wait(self.backoff(random), message),
        }
    }

    fn conflict(&mut self, message: String, now: Instant, random: f64) -> Next {
        let message = format!("{message}; {TAKEOVER}");
        let since = *self.conflict_since.get_or_insert(now);
        if now - since >= self.times.conflict {
            self.conflict_since = None;
            return Next::Stop(message);
        }
        self.wait(self.backoff(random), message)
    }

    fn wait(&mut self, delay: Duration, message: String) -> Next {
        self.tries = self.tries.saturating_add(1);
        Next::Wait { delay, message, attempt: self.tries }
    }

    /// Exponential, with full jitter: many publishers that lost the same server must not come back
    /// together.
    fn backoff(&self, random: f64) -> Duration {
        let Times { backoff_min, backoff_step, backoff_max, .. } = self.times;
        let doubled = 2u32.saturating_pow(self.tries.min(16));
        let bound = backoff_step.saturating_mul(doubled).min(backoff_max);
        backoff_min + bound.saturating_sub(backoff_min).mul_f64(random.clamp(0.0, 1.0))
    }

    /// As [`Self::backoff`], within the time for which the server waits for answers.
    fn quick_backoff(&self, random: f64) -> Duration {
        let Times { quick_step, quick_max, .. } = self.times;
        let doubled = 2u32.saturating_pow(self.quick_tries.min(16));
        quick_step.saturating_mul(doubled).min(quick_max).mul_f64(random.clamp(0.0, 1.0))
    }
}

/// Limits a pause that a server asked for.
fn bounded(pause: Duration) -> Duration {
    pause.min(limits::SERVER_PAUSE)
}

/// The time between heartbeats that a server asked for, within our limits.
pub(crate) fn heartbeat_period(times: &Times, server_seconds: u64) -> Duration {
    let (min, max) = limits::HEARTBEAT_SECS;
    Duration::from_secs(server_seconds.clamp(min, max)).min(times.heartbeat)
}

/// The delay until the next heartbeat: the period with 10 % of jitter either way.
pub(crate) fn heartbeat_delay(
    times: &Times,
    period: Duration,
    busy: bool,
    random: f64,
) -> Duration {
    let period = if busy { times.heartbeat_busy.min(period) } else { period };
    period.mul_f64(0.9 + 0.2 * random.clamp(0.0, 1.0))
}

/// True if the wall clock has advanced much further than the monotonic one, which stands still while
/// the machine is suspended.
pub(crate) fn was_suspended(times: &Times, wall: Duration, monotonic: Duration) -> bool {
    wall.saturating_sub(monotonic) > times.heartbeat.mul_f64(1.5)
}

#[cfg(test)]
mod tests {
    use super::{Ending, Next, ReconnectPolicy, heartbeat_delay, heartbeat_period, was_suspended};
    use crate::limits::{self, Times};
    use crate::mcpd_client::Fault;
    use std::time::Duration;
    use tokio::time::Instant;

    fn policy() -> (ReconnectPolicy, Instant) {
        (ReconnectPolicy::new(Times::default()), Instant::now())
    }

    fn lost() -> Ending {
        Ending::Lost("gone".into())
    }

    fn delay(next: Next) -> Duration {
        match next {
            Next::Wait { delay, .. } => delay,
            Next::Register | Next::Stop(_) => panic!("it should wait, not {next:?}"),
        }
    }

    #[test]
    fn while_answers_are_unfinished_and_after_a_connection_that_worked_delays_are_short() {
        let (mut policy, mut now) = policy();
        for _ in 0..2 {
            policy.online(now);
            now += Duration::from_millis(500);
            let seen = [(); 5].map(|()| delay(policy.ended(lost(), true, now, 1.0)).as_millis());
            assert_eq!(seen, [250, 500, 1_000, 2_000, 2_000]);
        }
        policy.online(now);
        let after = delay(policy.ended(lost(), false, now + Duration::from_millis(500), 1.0));
        assert_eq!(after, Duration::from_millis(250));
        assert_eq!(delay(policy.ended(lost(), false, now, 1.0)), Duration::from_secs(5));
        assert_eq!(delay(policy.ended(lost(), true, now, 0.0)), Duration::ZERO);
        let asked =
            Fault::Failed { message: "full".into(), retry_after: Some(Duration::from_secs(70)) };
        assert_eq!(delay(policy.ended(asked.into(), true, now, 0.0)), Duration::from_secs(70));
    }

    #[test]
    fn delays_grow_from_five_seconds_to_a_minute_and_never_leave_their_bounds() {
        for (random, expected) in
            [(0.0, [500; 6]), (1.0, [5_000, 10_000, 20_000, 40_000, 60_000, 60_000])]
        {
            let (mut policy, now) = policy();
            let seen =
                expected.map(|_| delay(policy.ended(lost(), false, now, random)).as_millis());
            assert_eq!(seen, expected.map(|ms: u32| u128::from(ms)));
        }
    }

    #[test]
    fn a_minute_of_health_starts_the_delays_over_and_less_does_not() {
        let (mut policy, now) = policy();
        for _ in 0..5 {
            policy.ended(lost(), false, now, 1.0);
        }
        // The first delay after a connection that worked is short in any case.
        for (seconds, expected) in [(59, 60), (60, 5)] {
            policy.online(now);
            let later = now + Duration::from_secs(seconds);
            policy.ended(lost(), false, later, 1.0);
            assert_eq!(delay(policy.ended(lost(), false, later, 1.0)).as_secs(), expected);
        }
    }

    #[test]
    fn an_unknown_session_is_registered_at_once_but_not_in_a_loop() {
        let (mut policy, now) = policy();
        policy.online(now);
        let unknown = || Ending::Fault(Fault::UnknownSession);
        let later = now + Duration::from_secs(1);
        assert_eq!(policy.ended(unknown(), false, later, 0.5), Next::Register);
        assert!(matches!(policy.ended(unknown(), false, later, 0.5), Next::Wait { .. }));
        policy.online(later);
        let at_once = policy.ended(unknown(), false, later, 0.5);
        assert!(matches!(at_once, Next::Wait { .. }), "a server that forgets it at once");
    }

    #[test]
    fn a_refused_or_revoked_token_waits_for_a_person() {
        let (mut policy, now) = policy();
        let denied = Ending::Fault(Fault::Denied("401".into()));
        assert_eq!(policy.ended(denied, false, now, 0.5), Next::Stop("401".into()));
        let revoked = policy.ended(Ending::Revoked("it was revoked".into()), false, now, 0.5);
        assert!(matches!(revoked, Next::Stop(why) if why.contains("it was revoked")));
    }

    #[test]
    fn a_conflict_is_waited_out_for_four_minutes_and_then_shown() {
        let (mut policy, now) = policy();
        let conflict = || Ending::Fault(Fault::Conflict("held".into()));
        assert!(matches!(policy.ended(conflict(), false, now, 0.5), Next::Wait { .. }));
        let later = policy.ended(conflict(), false, now + Duration::from_secs(239), 0.5);
        assert!(matches!(later, Next::Wait { .. }));
        let last = policy.ended(conflict(), false, now + Duration::from_secs(240), 0.5);
        assert!(
            matches!(last, Next::Stop(why) if why.contains("held") && why.contains("takeover"))
        );
    }

    #[test]
    fn the_servers_retry_after_and_drain_are_obeyed() {
        let (mut policy, now) = policy();
        let retry_after = Some(Duration::from_secs(90));
        let failed = Ending::Fault(Fault::Failed { message: "503".into(), retry_after });
        assert_eq!(delay(policy.ended(failed, false, now, 0.1)).as_secs(), 90);
        let drain = delay(policy.ended(Ending::Drain(Duration::from_secs(2)), false, now, 1.0));
        assert_eq!(drain.as_secs(), 7);
        assert_eq!(policy.ended(Ending::Resume, false, now, 0.9), Next::Register);
    }

    #[test]
    fn a_server_that_always_asks_for_another_register_gets_one_per_heartbeat() {
        let (mut policy, start) = policy();
        let mut registers = 0;
        for second in 0..300 {
            registers += u32::from(policy.registers_again(start + Duration::from_secs(second)));
        }
        assert_eq!(registers, 13, "one at once, and one for each 24 s that follow");
    }

    #[test]
    fn no_server_can_ask_for_more_than_ten_minutes_or_for_heartbeats_that_never_or_always_come() {
        for asked in [Duration::from_secs(1_000_000_000), Duration::MAX] {
            let (mut policy, now) = policy();
            let retry_after = Some(asked);
            let failed = Ending::Fault(Fault::Failed { message: "503".into(), retry_after });
            assert_eq!(delay(policy.ended(failed, false, now, 0.5)), limits::SERVER_PAUSE);
            let drain = policy.ended(Ending::Drain(asked), false, now, 0.5);
            assert_eq!(delay(drain), limits::SERVER_PAUSE);
        }
        let times = Times { heartbeat: Duration::from_secs(300), ..Times::default() };
        for (asked, heard) in [(0, 1), (1, 1), (45, 45), (61, 60), (u64::MAX, 60)] {
            assert_eq!(heartbeat_period(&times, asked).as_secs(), heard);
        }
        assert_eq!(heartbeat_period(&Times::default(), u64::MAX).as_secs(), 30);
    }

    #[test]
    fn heartbeats_have_jitter_and_come_faster_while_tasks_run() {
        let times = Times::default();
        let asked = Duration::from_secs(30);
        assert_eq!(heartbeat_delay(&times, asked, false, 0.0).as_secs(), 27);
        assert_eq!(heartbeat_delay(&times, asked, false, 1.0).as_secs(), 33);
        assert_eq!(heartbeat_delay(&times, asked, true, 0.5).as_secs(), 10);
    }

    #[test]
    fn only_a_jump_of_the_wall_clock_is_a_suspend() {
        let secs = Duration::from_secs;
        let times = Times::default();
        assert!(was_suspended(&times, secs(51), secs(5)));
        assert!(!was_suspended(&times, secs(49), secs(5)));
        assert!(!was_suspended(&times, secs(1), secs(5)), "a clock set back is none");
    }
}
