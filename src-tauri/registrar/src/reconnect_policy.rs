//! What comes after a connection's end: register again, wait, or stop. Pure; the moment and the
//! random number are arguments, so that every path can be tested.

use crate::limits::{self, Times};
use crate::mcpd_client::Fault;
use std::time::Duration;
use tokio::time::Instant;

/// What a person can do when another machine holds the session.
const TAKEOVER: &str = "to publish from this machine instead, run `mcplocal-agent takeover`";

/// How a connection, or the attempt to make one, ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// A request failed.
    Fault(Fault),
    /// The control channel broke, and why.
    Lost(String),
    /// The server goes down and wants to be left alone for a while.
    Drain(Duration),
    /// Another process uses this session.
    Superseded,
    /// The token died.
    Revoked(String),
    /// The machine slept, or a person wants it now.
    Resume,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Register at once.
    Register,
    /// Register after a while.
    Wait {
        /// So long.
        delay: Duration,
        /// Why, for people.
        message: String,
        /// Tries since the last success.
        attempt: u32,
    },
    /// Do nothing until a person has changed something.
    Stop(String),
}

/// The memory that decides.
#[derive(Debug)]
pub struct ReconnectPolicy {
    times: Times,
    /// Tries that failed since the last healthy connection.
    tries: u32,
    online_since: Option<Instant>,
    conflict_since: Option<Instant>,
    /// When a register followed the server's `registerAgain` last.
    asked_again: Option<Instant>,
}

impl ReconnectPolicy {
    /// One that has not tried yet.
    #[must_use]
    pub fn new(times: Times) -> Self {
        let (online_since, conflict_since, asked_again) = (None, None, None);
        Self { times, tries: 0, online_since, conflict_since, asked_again }
    }

    /// The channel is open.
    pub fn online(&mut self, now: Instant) {
        self.online_since.get_or_insert(now);
        self.conflict_since = None;
    }

    /// The server asks for another register: whether to obey now. A server that asks for it in every
    /// reply gets one per idle heartbeat; one that still means it asks again.
    pub fn registers_again(&mut self, now: Instant) -> bool {
        let pause = self.times.heartbeat.mul_f64(0.8);
        let obey = self.asked_again.is_none_or(|last| now - last >= pause);
        if obey {
            self.asked_again = Some(now);
        }
        obey
    }

    /// The connection ended, or could not be made. `random` is in 0..1.
    pub fn ended(&mut self, ending: Ending, now: Instant, random: f64) -> Next {
        let was_online = self.online_since.take();
        if was_online.is_some_and(|since| now - since >= self.times.healthy) {
            self.tries = 0;
        }
        match ending {
            Ending::Resume => {
                self.tries = 0;
                Next::Register
            }
            // At once, but only when the session had worked for a while: a server that never knows
            // it is none.
            Ending::Fault(Fault::UnknownSession)
                if was_online.is_some_and(|since| now - since >= self.times.backoff_min) =>
            {
                Next::Register
            }
            Ending::Fault(Fault::Denied(message)) => Next::Stop(message),
            Ending::Revoked(reason) => Next::Stop(format!("the server says: {reason}")),
            Ending::Fault(Fault::Conflict(message)) => self.conflict(message, now, random),
            Ending::Superseded => {
                self.conflict("another process publishes with this session".into(), now, random)
            }
            Ending::Drain(asked) => {
                let jitter = self.times.backoff_step.mul_f64(random);
                self.wait(bounded(bounded(asked) + jitter), "the server restarts".into())
            }
            Ending::Fault(Fault::Failed { message, retry_after }) => {
                let asked = bounded(retry_after.unwrap_or_default());
                self.wait(self.backoff(random).max(asked), message)
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

    /// Full jitter: many publishers that lost the same server must not come back together.
    fn backoff(&self, random: f64) -> Duration {
        let doubled = 2u32.saturating_pow(self.tries.min(16));
        let bound = self.times.backoff_step.saturating_mul(doubled).min(self.times.backoff_max);
        let span = bound.saturating_sub(self.times.backoff_min);
        self.times.backoff_min + span.mul_f64(random.clamp(0.0, 1.0))
    }
}

/// A pause that a server asked for, and that may be no longer than ours.
fn bounded(asked: Duration) -> Duration {
    asked.min(limits::SERVER_PAUSE)
}

/// The time between heartbeats that a server asked for, as far as it is heard.
pub(crate) fn heartbeat(times: &Times, asked_seconds: u64) -> Duration {
    let (least, most) = limits::HEARTBEAT_SECS;
    Duration::from_secs(asked_seconds.clamp(least, most)).min(times.heartbeat)
}

/// The time until the next heartbeat: 10 % of jitter either way.
pub(crate) fn beat_after(times: &Times, asked: Duration, busy: bool, random: f64) -> Duration {
    let period = if busy { times.heartbeat_busy.min(asked) } else { asked };
    period.mul_f64(0.9 + 0.2 * random.clamp(0.0, 1.0))
}

/// Whether the wall clock went on while ours stood still: the machine was suspended.
pub(crate) fn slept(times: &Times, wall: Duration, ours: Duration) -> bool {
    wall.saturating_sub(ours) > times.heartbeat.mul_f64(1.5)
}

#[cfg(test)]
mod tests {
    use super::{Ending, Next, ReconnectPolicy, beat_after, heartbeat, slept};
    use crate::limits::{self, Times};
    use crate::mcpd_client::Fault;
    use std::time::Duration;
    use tokio::time::Instant;

    fn session() -> (ReconnectPolicy, Instant) {
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
    fn delays_grow_from_five_seconds_to_a_minute_and_never_leave_their_bounds() {
        for (random, expected) in
            [(0.0, [500; 6]), (1.0, [5_000, 10_000, 20_000, 40_000, 60_000, 60_000])]
        {
            let (mut session, now) = session();
            let seen = expected.map(|_| delay(session.ended(lost(), now, random)).as_millis());
            assert_eq!(seen, expected.map(|ms: u32| u128::from(ms)));
        }
    }

    #[test]
    fn a_minute_of_health_starts_the_delays_over_and_less_does_not() {
        let (mut session, now) = session();
        for _ in 0..5 {
            session.ended(lost(), now, 1.0);
        }
        session.online(now);
        let short = session.ended(lost(), now + Duration::from_secs(59), 1.0);
        assert_eq!(delay(short).as_secs(), 60);
        session.online(now);
        let long = session.ended(lost(), now + Duration::from_secs(60), 1.0);
        assert_eq!(delay(long).as_secs(), 5);
    }

    #[test]
    fn an_unknown_session_is_registered_at_once_but_not_in_a_loop() {
        let (mut session, now) = session();
        session.online(now);
        let unknown = || Ending::Fault(Fault::UnknownSession);
        let later = now + Duration::from_secs(1);
        assert_eq!(session.ended(unknown(), later, 0.5), Next::Register);
        assert!(matches!(session.ended(unknown(), later, 0.5), Next::Wait { .. }));
        session.online(later);
        let at_once = session.ended(unknown(), later, 0.5);
        assert!(matches!(at_once, Next::Wait { .. }), "a server that forgets it at once");
    }

    #[test]
    fn a_refused_or_revoked_token_waits_for_a_person() {
        let (mut session, now) = session();
        let denied = Ending::Fault(Fault::Denied("401".into()));
        assert_eq!(session.ended(denied, now, 0.5), Next::Stop("401".into()));
        let revoked = session.ended(Ending::Revoked("it was revoked".into()), now, 0.5);
        assert!(matches!(revoked, Next::Stop(why) if why.contains("it was revoked")));
    }

    #[test]
    fn a_conflict_is_waited_out_for_four_minutes_and_then_shown() {
        let (mut session, now) = session();
        let conflict = || Ending::Fault(Fault::Conflict("held".into()));
        assert!(matches!(session.ended(conflict(), now, 0.5), Next::Wait { .. }));
        let later = session.ended(conflict(), now + Duration::from_secs(239), 0.5);
        assert!(matches!(later, Next::Wait { .. }));
        let last = session.ended(conflict(), now + Duration::from_secs(240), 0.5);
        assert!(
            matches!(last, Next::Stop(why) if why.contains("held") && why.contains("takeover"))
        );
    }

    #[test]
    fn the_servers_retry_after_and_drain_are_obeyed() {
        let (mut session, now) = session();
        let retry_after = Some(Duration::from_secs(90));
        let failed = Ending::Fault(Fault::Failed { message: "503".into(), retry_after });
        assert_eq!(delay(session.ended(failed, now, 0.1)).as_secs(), 90);
        let drain = delay(session.ended(Ending::Drain(Duration::from_secs(2)), now, 1.0));
        assert_eq!(drain.as_secs(), 7);
        assert_eq!(session.ended(Ending::Resume, now, 0.9), Next::Register);
    }

    #[test]
    fn a_server_that_always_asks_for_another_register_gets_one_per_heartbeat() {
        let (mut session, start) = session();
        let mut registers = 0;
        for second in 0..300 {
            registers += u32::from(session.registers_again(start + Duration::from_secs(second)));
        }
        assert_eq!(registers, 13, "one at once, and one for each 24 s that follow");
    }

    #[test]
    fn no_server_can_ask_for_more_than_ten_minutes_or_for_heartbeats_that_never_or_always_come() {
        for asked in [Duration::from_secs(1_000_000_000), Duration::MAX] {
            let (mut session, now) = session();
            let retry_after = Some(asked);
            let failed = Ending::Fault(Fault::Failed { message: "503".into(), retry_after });
            assert_eq!(delay(session.ended(failed, now, 0.5)), limits::SERVER_PAUSE);
            let drain = session.ended(Ending::Drain(asked), now, 0.5);
            assert_eq!(delay(drain), limits::SERVER_PAUSE);
        }
        let times = Times { heartbeat: Duration::from_secs(300), ..Times::default() };
        for (asked, heard) in [(0, 1), (1, 1), (45, 45), (61, 60), (u64::MAX, 60)] {
            assert_eq!(heartbeat(&times, asked).as_secs(), heard);
        }
        assert_eq!(heartbeat(&Times::default(), u64::MAX).as_secs(), 30);
    }

    #[test]
    fn heartbeats_have_jitter_and_come_faster_while_tasks_run() {
        let times = Times::default();
        let asked = Duration::from_secs(30);
        assert_eq!(beat_after(&times, asked, false, 0.0).as_secs(), 27);
        assert_eq!(beat_after(&times, asked, false, 1.0).as_secs(), 33);
        assert_eq!(beat_after(&times, asked, true, 0.5).as_secs(), 10);
    }

    #[test]
    fn only_a_jump_of_the_wall_clock_is_a_suspend() {
        let secs = Duration::from_secs;
        let times = Times::default();
        assert!(slept(&times, secs(51), secs(5)));
        assert!(!slept(&times, secs(49), secs(5)));
        assert!(!slept(&times, secs(1), secs(5)), "a clock set back is none");
    }
}
