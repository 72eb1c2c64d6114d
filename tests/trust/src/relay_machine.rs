//! Random event sequences for the relay. Each event is passed to the real relay, whose responses,
//! actions and snapshots are compared with a reference model and checked for consistency.

pub mod event;
mod model;
mod publishers;
mod task_events;

use crate::choices::Choices;
use crate::hang_detector::HangDetector;
use crate::stored_state::StoredState;
use event::Event;
use model::Model;
use publishers::{Declared, NAMES, OWNERS, POOL, Publisher, SHARES, SUBMITTED};
use relay::{Action, Actions, Allowed, Limits, Millis, Owner, OwnerId, Relay, Submit};
use wire::publisher::{Heartbeat, LlmReport, ReportedStatus};

const START: Millis = 1_000_000;
const MINUTE: Millis = 60_000;
/// Small limits, so that they are reached often: requests that may wait for an entry, entries of an
/// owner, times that a request is sent again, reserved names of an owner and for how long, the time
/// after which a session that is gone is deleted, and the longest pause after failed wakes.
const QUEUE: usize = 4;
const ENTRIES: usize = 2;
const SENT_AGAIN: u32 = 1;
const RESERVED: usize = 2;
const RESERVATION: Millis = 20 * MINUTE;
const DELETION: Millis = 30 * MINUTE;
const COOLDOWN: Millis = 50_000;
/// Sessions of an owner: publishers here lose theirs often.
const SESSIONS: usize = 5;
/// Live sessions from which on their expiry in one sweep freezes deletions.
const CROWD: usize = 10;
/// Names that an admin shares and frees.
const ADMIN_NAMES: [&str; 5] = ["a", "b", "c", POOL, "nobody"];
/// After this time without any event nothing may be left of any request.
const QUIET: Millis = 60 * MINUTE;
/// Time between two heartbeats of publishers that work.
const BEAT: Millis = 20_000;

/// The real relay, the model, and the state of the relay's surroundings.
pub struct Harness {
    relay: Relay,
    model: Model,
    now: Millis,
    publishers: [Publisher; OWNERS.len()],
    stored: StoredState,
    detector: HangDetector<(Millis, Event)>,
}

/// Runs up to `steps` events, or until the choices are exhausted; then lets all deadlines pass.
///
/// # Errors
/// A message with the event after which relay and model disagreed, and how.
pub fn run(choices: &mut Choices<'_>, steps: usize) -> Result<(), String> {
    let mut harness = Harness::new();
    for number in 0..steps {
        if choices.is_exhausted() {
            break;
        }
        let event = Event::draw(choices);
        harness.step(&event).map_err(|error| format!("event {number}, {event:?}: {error}"))?;
    }
    harness.fall_silent().map_err(|error| format!("after the last event: {error}"))
}

fn limits() -> Limits {
    Limits {
        queue: QUEUE,
        llms_per_owner: ENTRIES,
        redispatch: SENT_AGAIN,
        reservations_per_owner: RESERVED,
        reservation: RESERVATION,
        delete_after: DELETION,
        wake_cooldown_max: COOLDOWN,
        sessions_per_owner: SESSIONS,
        ..Limits::default()
    }
}

impl Default for Harness {
    fn default() -> Self {
        Self::new()
    }
}

impl Harness {
    /// Starts a relay without publishers.
    #[must_use]
    pub fn new() -> Self {
        let mut stored = StoredState::default();
        Self {
            relay: stored.start_relay(limits(), START),
            model: Model::new(limits(), START),
            now: START,
            publishers: Publisher::all(),
            stored,
            detector: HangDetector::start((START, Event::Restart)),
        }
    }

    /// Applies one event, and checks all that must be true after it.
    ///
    /// # Errors
    /// A message with the rule that does not hold.
    pub fn step(&mut self, event: &Event) -> Result<(), String> {
        self.detector.moved_to((self.now, *event));
        match *event {
            Event::Register {
                who,
                set,
                asleep,
                old,
                shares,
                grouped,
                alone,
                memory,
                takeover,
                forgets,
            } => {
                let declared = Declared { set, asleep, old, shares, grouped, alone };
                self.register(who, declared, memory, (takeover, forgets))
            }
            Event::Open { who, whose } => self.open(who, whose),
            Event::Close { who } => self.close(who),
            Event::Return { who, forgets } => self.reconnect(who, forgets),
            Event::Heartbeat { who, status, forgets, stale } => {
                self.heartbeat(who, status, (forgets, stale))
            }
            Event::Submit { name, narrow, streaming } => self.submit(name, narrow, streaming),
            Event::Leave { task, reason } => {
                let Some(task) = self.model.pick(task) else { return Ok(()) };
                self.check(
                    |relay, now, out| relay.caller_gone(task, reason, now, out),
                    |model, ()| {
                        model.caller_gone(task, reason);
                        Ok(())
                    },
                )
            }
            Event::Acknowledge { task, who } => self.acknowledge(task, who),
            Event::Head { task, who } => self.begin_answer(task, who),
            Event::Data { task } => self.continue_answer(task),
            Event::WorkEnd { task, who } => self.end_work(task, who),
            Event::End { task, end } => self.end_answer(task, end),
            Event::Fail { task, who, code } => self.fail(task, who, code),
            Event::WakeEnd { who, succeeds } => self.end_wake(who, succeeds),
            Event::Crowd { size } => self.crowd(size),
            Event::Pass { ms } => self.pass(ms),
            Event::Work { beats } => self.work(beats),
            Event::Gap { ms } => {
                self.now += ms;
                self.model.stalled();
                self.sweep()
            }
            Event::Revoke { .. } | Event::Share { .. } | Event::Free { .. } | Event::Drain => {
                self.administer(event)
            }
            Event::Restart => self.restart(),
        }
    }

    /// Passes one event to the relay, and its response, actions and new state to the model.
    fn check<R>(
        &mut self,
        call: impl FnOnce(&mut Relay, Millis, &mut Actions) -> R,
        rule: impl FnOnce(&mut Model, &R) -> Result<(), String>,
    ) -> Result<(), String> {
        self.checked(call, rule).map(drop)
    }

    fn checked<R>(
        &mut self,
        call: impl FnOnce(&mut Relay, Millis, &mut Actions) -> R,
        rule: impl FnOnce(&mut Model, &R) -> Result<(), String>,
    ) -> Result<R, String> {
        self.model.begin_step(self.now)?;
        let mut out = Actions::new();
        let reply = call(&mut self.relay, self.now, &mut out);
        rule(&mut self.model, &reply)?;
        for action in &out {
            self.model.action(action)?;
        }
        self.apply(&out);
        self.model.end_step()?;
        self.relay.check_consistency()?;
        self.model.check_catalogue(&self.relay.catalogue())?;
        self.model.check_names(&self.relay.names())?;
        self.model.check_gauges(&self.relay.gauges())?;
        self.model.check_stored_llms(self.stored.llms())?;
        self.model.check_stored_sessions(self.stored.sessions())?;
        self.model.check_stored_names(self.stored.names())?;
        Ok(reply)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the only other event here is the drain")]
    fn administer(&mut self, event: &Event) -> Result<(), String> {
        match *event {
            Event::Revoke { who } => {
                let owner = OwnerId(OWNERS[who].into());
                self.check(
                    |relay, now, out| relay.revoke_owner(&owner, "revoked", now, out),
                    |model, _| {
                        model.revoked(&owner);
                        Ok(())
                    },
                )
            }
            Event::Share { name, with } => {
                let name = ADMIN_NAMES[name];
                let with: Vec<String> = SHARES[with].iter().map(|user| (*user).into()).collect();
                self.check(
                    |relay, now, out| relay.share_name(name, &with, now, out),
                    |model, reply| model.shared(name, &with, reply.is_ok()),
                )
            }
            Event::Free { name } => {
                let name = ADMIN_NAMES[name];
                self.check(
                    |relay, now, out| relay.free_name(name, now, out),
                    |model, reply| model.freed(name, reply.is_ok()),
                )
            }
            _ => self.check(
                |relay, _, out| relay.drain(out),
                |model, ()| {
                    model.drained();
                    Ok(())
                },
            ),
        }
    }

    fn close(&mut self, who: usize) -> Result<(), String> {
        let Some(channel) = self.publishers[who].channel.take() else { return Ok(()) };
        self.check(
            |relay, _, _| relay.channel_closed(channel),
            |model, ()| {
                model.channel_closed(channel);
                Ok(())
            },
        )
    }

    fn open(&mut self, who: usize, whose: usize) -> Result<(), String> {
        let Some(session) = self.publishers[whose].session else { return Ok(()) };
        let owner = OwnerId(OWNERS[who].into());
        let opened = self.checked(
            |relay, now, out| {
                let opened = relay.open_channel(&owner, session, now, out);
                if let Ok(opened) = &opened {
                    relay.channel_ready(opened.channel, now, out);
                }
                opened
            },
            |model, reply| model.opened(&owner, Some(session), reply.as_ref()),
        )?;
        if let Ok(opened) = opened {
            self.publishers[whose].channel = Some(opened.channel);
        }
        Ok(())
    }

    fn heartbeat(
        &mut self,
        who: usize,
        status: ReportedStatus,
        (forgets, stale): (bool, bool),
    ) -> Result<(), String> {
        let report = |name: &str| LlmReport { name: name.into(), status, in_flight: 0, queued: 0 };
        let llms = NAMES.iter().map(|name| report(name)).collect();
        self.beat(who, llms, (forgets, stale))
    }

    fn beat(
        &mut self,
        who: usize,
        llms: Vec<LlmReport>,
        (forgets, stale): (bool, bool),
    ) -> Result<(), String> {
        let publisher = &self.publishers[who];
        let Some(session) = publisher.session else { return Ok(()) };
        let named = if forgets { Vec::new() } else { self.model.tasks_of(session) };
        let request = Heartbeat {
            provider_session_id: session.to_string(),
            epoch: Some(publisher.epoch.saturating_sub(u64::from(stale))),
            llms,
            inflight: Some(named.iter().map(ToString::to_string).collect()),
        };
        let owner = OwnerId(OWNERS[who].into());
        self.check(
            |relay, now, out| relay.heartbeat(&owner, &request, now, out),
            |model, reply| model.heartbeat(&owner, &request, reply.as_ref()),
        )
    }

    fn submit(&mut self, name: usize, narrow: bool, streaming: bool) -> Result<(), String> {
        // A narrow key covers one entry of the pool, one other entry, and what its user publishes.
        let names = || NAMES[..2].iter().map(|name| (*name).to_owned()).collect();
        let some = || Allowed::Some { names: names(), own: Some(OwnerId(OWNERS[1].into())) };
        let submit = Submit {
            name: SUBMITTED[name].to_owned(),
            key: if narrow { "narrow" } else { "wide" }.to_owned(),
            allowed: if narrow { some() } else { Allowed::All },
            streaming,
            notices: streaming,
        };
        let task = self.model.next_task();
        self.check(
            |relay, now, out| relay.submit(&submit, task, now, out),
            |model, reply| model.submitted(&submit, task, reply.as_ref().copied()),
        )
    }

    /// Lets time pass as mcpd does: ticks when deadlines are due, sweeps at their interval.
    fn pass(&mut self, ms: Millis) -> Result<(), String> {
        let (end, sweep) = (self.now + ms, limits().sweep);
        loop {
            let next = self.relay.next_tick().unwrap_or(Millis::MAX).max(self.now);
            let at = next.min(self.now - self.now % sweep + sweep);
            if at > end {
                break;
            }
            self.now = at;
            self.check(
                |relay, now, out| relay.tick(now, out),
                |model, ()| {
                    model.ticked();
                    Ok(())
                },
            )?;
            let left = self.relay.next_tick();
            if left.is_some_and(|due| due <= at) {
                return Err(format!("a deadline of {left:?} is still there at {at}"));
            }
            if at.is_multiple_of(sweep) {
                self.sweep()?;
            }
        }
        self.now = end;
        Ok(())
    }

    /// Time passes in which all publishers send heartbeats and name their tasks.
    fn work(&mut self, beats: usize) -> Result<(), String> {
        for _ in 0..beats {
            self.pass(BEAT)?;
            for who in 0..OWNERS.len() {
                self.beat(who, Vec::new(), (false, false))?;
            }
        }
        Ok(())
    }

    fn sweep(&mut self) -> Result<(), String> {
        self.check(
            |relay, now, out| relay.sweep(now, out),
            |model, ()| {
                model.swept();
                Ok(())
            },
        )
    }

    /// Kills the server and starts it again from the stored state.
    fn restart(&mut self) -> Result<(), String> {
        self.relay = self.stored.start_relay(limits(), self.now);
        self.publishers.iter_mut().for_each(|publisher| publisher.channel = None);
        self.model.restarted(self.now);
        self.check(|_, _, _| (), |_, ()| Ok(()))
    }

    /// Applies actions as mcpd does: stores state, and closes channels.
    fn apply(&mut self, actions: &[Action]) {
        for action in actions {
            self.stored.apply(&self.relay, action);
            if let Action::CloseChannel { channel, .. } = action {
                for publisher in &mut self.publishers {
                    publisher.channel.take_if(|open| open == channel);
                }
            }
        }
    }

    /// All channels close and no events follow: every request must end by itself.
    fn fall_silent(&mut self) -> Result<(), String> {
        for who in 0..OWNERS.len() {
            self.step(&Event::Close { who })?;
        }
        self.step(&Event::Pass { ms: QUIET })?;
        self.model.check_empty()
    }
}

fn owner(name: &str) -> Owner {
    Owner { id: OwnerId(name.into()), label: name.into(), groups: Vec::new() }
}
