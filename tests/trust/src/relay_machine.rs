//! The relay under any sequence of events: each is drawn from a choices, told to the real relay, and what
//! that answers and does is held against the model and its own books.

pub mod event;
mod model;
mod publishers;

use crate::choices::Choices;
use crate::hang_detector::HangDetector;
use crate::stored_state::StoredState;
use event::{Ending, Event, Pick};
use model::Model;
use publishers::{Declared, NAMES, OWNERS, POOL, Publisher, SHARES, SUBMITTED};
use relay::{Action, Actions, Allowed, AnswerEnd, Limits, Millis, Owner, OwnerId, Relay, Submit};
use wire::publisher::{Heartbeat, LlmReport, TaskFailure};

const START: Millis = 1_000_000;
/// Requests that may wait for one row here: few, so that the bound is met often.
const QUEUE: usize = 4;
/// Rows of an owner here, for the same reason.
const ROWS: usize = 2;
/// Times that a request is sent again here: likewise.
const AGAIN: u32 = 1;
/// Names that stay reserved for an owner here: likewise.
const RESERVED: usize = 2;
/// What an admin shares and frees.
const SHARED: [&str; 5] = ["a", "b", "c", POOL, "nobody"];
/// The longest time without any word after which nothing may be left of any request.
const QUIET: Millis = 3 * 3_600_000;

/// The real relay and everything that its surroundings would remember.
pub struct World {
    relay: Relay,
    model: Model,
    now: Millis,
    publishers: [Publisher; OWNERS.len()],
    /// What a restart finds.
    stored: StoredState,
    /// The time and the event that the relay is at.
    watch: HangDetector<(Millis, Event)>,
}

/// Runs events from the choices until it is over or so many are done; then everybody falls silent.
///
/// # Errors
/// What went wrong, after which event.
pub fn run(choices: &mut Choices<'_>, steps: usize) -> Result<(), String> {
    let mut world = World::new();
    for number in 0..steps {
        if choices.is_exhausted() {
            break;
        }
        let event = Event::draw(choices);
        world.step(&event).map_err(|why| format!("event {number}, {event:?}: {why}"))?;
    }
    world.fall_silent().map_err(|why| format!("after the last event: {why}"))
}

fn limits() -> Limits {
    Limits {
        queue: QUEUE,
        llms_per_owner: ROWS,
        redispatch: AGAIN,
        reservations_per_owner: RESERVED,
        // Publishers here forget their sessions often.
        sessions_per_owner: usize::MAX,
        ..Limits::default()
    }
}

impl Default for World {
    fn default() -> Self {
        Self::new()
    }
}

impl World {
    /// A relay that nobody has spoken to.
    #[must_use]
    pub fn new() -> Self {
        let mut stored = StoredState::default();
        let relay = stored.start_relay(limits(), START);
        Self {
            relay,
            model: Model::new(limits()),
            now: START,
            publishers: Publisher::all(),
            stored,
            watch: HangDetector::start((START, Event::Restart)),
        }
    }

    /// One event, and all that must be true after it.
    ///
    /// # Errors
    /// What is not.
    pub fn step(&mut self, event: &Event) -> Result<(), String> {
        self.watch.moved_to((self.now, *event));
        let mut out = Actions::new();
        self.happen(event, &mut out)?;
        for action in &out {
            self.model.action(action)?;
        }
        self.remember(&out);
        self.relay.check_consistency()?;
        self.model.catalogue(&self.relay.catalogue(), self.now)?;
        let names = self.relay.names();
        for action in &out {
            if let Action::SaveName(name) = action {
                let saved = self.relay.saved_name(name);
                self.model.name_is_saved(name, saved, &names, self.now)?;
            }
        }
        self.model.names(&names)?;
        self.model.gauges(&self.relay.gauges())
    }

    fn happen(&mut self, event: &Event, out: &mut Actions) -> Result<(), String> {
        match *event {
            Event::Register { who, set, asleep, old, shares, memory, takeover, forgets } => {
                let declared = Declared { set, asleep, old, shares };
                self.register(who, declared, memory, (takeover, forgets), out)
            }
            Event::Open { who, whose } => self.open(who, whose, out),
            Event::Close { who } => {
                self.close(who);
                Ok(())
            }
            Event::Return { who, forgets } => self.returns(who, forgets, out),
            Event::Beat { who, status, forgets, stale } => {
                self.beat(who, status, (forgets, stale), out)
            }
            Event::Submit { name, narrow, streaming } => self.submit(name, narrow, streaming, out),
            Event::Leave { task, reason } => {
                if let Some(task) = self.model.pick(task) {
                    self.relay.caller_gone(task, reason, self.now, out);
                    self.model.left(task);
                }
                Ok(())
            }
            Event::Acknowledge { task, who } => self.acknowledge(task, who),
            Event::Begin { task, who } => self.begin(task, who, out),
            Event::End { task, end, crosses } => self.end(task, (end, crosses), out),
            Event::Fail { task, who, code } => self.fail(task, who, code, out),
            Event::Woken { who, well } => self.woken(who, well, out),
            Event::Pass { ms } => self.pass(ms, out),
            Event::Gap { ms } => {
                self.now += ms;
                self.model.stood_still(ms);
                self.relay.sweep(self.now, out);
                Ok(())
            }
            Event::Revoke { who } => {
                let owner = OwnerId(OWNERS[who].into());
                self.relay.revoke_owner(&owner, "revoked", self.now, out);
                self.model.revoked(&owner);
                Ok(())
            }
            Event::Share { name, with } => self.share(SHARED[name], SHARES[with], out),
            Event::Free { name } => {
                let freed = self.relay.free_name(SHARED[name], self.now, out);
                self.model.freed(SHARED[name], freed.is_ok(), self.now)
            }
            Event::Drain => {
                self.relay.drain(out);
                self.model.draining = true;
                Ok(())
            }
            Event::Restart => self.restart(),
        }
    }

    fn close(&mut self, who: usize) {
        if let Some(channel) = self.publishers[who].channel.take() {
            self.relay.channel_closed(channel);
            self.model.closed(channel);
        }
    }

    fn open(&mut self, who: usize, whose: usize, out: &mut Actions) -> Result<(), String> {
        let Some(session) = self.publishers[whose].session.clone() else { return Ok(()) };
        let owner = OwnerId(OWNERS[who].into());
        let opened = match session.parse() {
            Ok(id) => self.relay.open_channel(&owner, id, self.now, out),
            Err(relay::InvalidId) => Err(relay::SessionRefusal::Unknown),
        };
        self.model.opened(&owner, &session, opened.as_ref(), self.now)?;
        if let Ok(opened) = opened {
            self.publishers[whose].channel = Some(opened.channel);
            self.relay.channel_ready(opened.channel, self.now, out);
        }
        Ok(())
    }

    fn beat(
        &mut self,
        who: usize,
        status: wire::publisher::ReportedStatus,
        (forgets, stale): (bool, bool),
        out: &mut Actions,
    ) -> Result<(), String> {
        let publisher = &self.publishers[who];
        let Some(session) = publisher.session.clone() else { return Ok(()) };
        let report = |name: &str| LlmReport { name: name.into(), status, in_flight: 0, queued: 0 };
        let named = if forgets { Vec::new() } else { self.model.tasks_of(&session) };
        let beat = Heartbeat {
            provider_session_id: session,
            epoch: Some(publisher.epoch.saturating_sub(u64::from(stale))),
            llms: NAMES.iter().map(|name| report(name)).collect(),
            inflight: Some(named.iter().map(ToString::to_string).collect()),
        };
        let owner = OwnerId(OWNERS[who].into());
        let reply = self.relay.heartbeat(&owner, &beat, self.now, out);
        self.model.beaten(&owner, &beat, reply.as_ref(), self.now)
    }

    /// Who says something: a certain publisher, or the one with this session.
    fn speaker(&self, who: Option<usize>, session: Option<&str>) -> relay::TaskSender {
        let meant = |at: &usize| self.publishers[*at].session.as_deref() == session;
        let who = who.or_else(|| (0..OWNERS.len()).find(meant)).unwrap_or_default();
        self.publishers[who].from(OWNERS[who])
    }

    fn submit(
        &mut self,
        name: usize,
        narrow: bool,
        streaming: bool,
        out: &mut Actions,
    ) -> Result<(), String> {
        // One of them is in the pool, the other is not.
        let names = || NAMES[..2].iter().map(|name| (*name).to_owned()).collect();
        // A key for some models, and what its user publishes itself.
        let some = || Allowed::Some { names: names(), own: Some(OwnerId(OWNERS[1].into())) };
        let allowed = if narrow { some() } else { Allowed::All };
        // Two keys share the queue.
        let key = if narrow { "narrow" } else { "wide" }.to_owned();
        let name = SUBMITTED[name].to_owned();
        let submit = Submit { name, key, allowed, streaming, notices: streaming };
        let task = self.model.next_task();
        let reply = self.relay.submit(&submit, task, self.now, out);
        self.model.submitted(&submit, task, reply.as_ref())
    }

    fn share(&mut self, name: &str, with: &[&str], out: &mut Actions) -> Result<(), String> {
        let with: Vec<String> = with.iter().map(|user| (*user).to_owned()).collect();
        let shared = self.relay.share_name(name, &with, self.now, out);
        self.model.shared(name, &with, shared.is_ok(), self.now)
    }

    fn acknowledge(&mut self, task: Pick, who: Option<usize>) -> Result<(), String> {
        let Some(task) = self.model.pick(task) else { return Ok(()) };
        let from = self.speaker(who, self.model.sent_to(task));
        let reply = self.relay.acknowledge(&from, task, self.now);
        self.model.named(&from, task, reply.as_ref().err(), self.now)
    }

    fn begin(&mut self, task: Pick, who: Option<usize>, out: &mut Actions) -> Result<(), String> {
        let Some(task) = self.model.pick(task) else { return Ok(()) };
        let from = self.speaker(who, self.model.sent_to(task));
        let reply = self.relay.answer_begins(&from, task, self.now);
        self.model.named(&from, task, reply.as_ref().err(), self.now)?;
        if reply.is_ok() {
            self.model.begun(task)?;
            self.relay.first_byte(task, out);
        }
        Ok(())
    }

    fn end(
        &mut self,
        task: Pick,
        (end, crosses): (Ending, bool),
        out: &mut Actions,
    ) -> Result<(), String> {
        let Some(task) = self.model.pick(task) else { return Ok(()) };
        // Only an upload that has begun ends, and one that is told to stop ends by that.
        let Some(told_to_stop) = self.model.upload(task) else { return Ok(()) };
        let end = match end {
            _ if told_to_stop && !crosses => AnswerEnd::Stopped,
            Ending::Complete => AnswerEnd::Complete,
            Ending::Aborted => AnswerEnd::Aborted,
            Ending::Silent => AnswerEnd::Silent,
        };
        self.model.upload_ends(task, end);
        self.relay.answer_ended(task, end, self.now, out);
        Ok(())
    }

    fn fail(
        &mut self,
        task: Pick,
        who: Option<usize>,
        code: &'static str,
        out: &mut Actions,
    ) -> Result<(), String> {
        let Some(task) = self.model.pick(task) else { return Ok(()) };
        let from = self.speaker(who, self.model.sent_to(task));
        let failure = TaskFailure { message: String::new(), code: Some(code.into()) };
        let reply = self.relay.task_failed(&from, task, &failure, self.now, out);
        self.model.named(&from, task, reply.as_ref().err(), self.now)
    }

    fn woken(&mut self, who: Option<usize>, well: bool, out: &mut Actions) -> Result<(), String> {
        let Some(task) = self.model.oldest_wake() else { return Ok(()) };
        let from = self.speaker(who, self.model.wakes_at(task));
        let reply = if well {
            self.relay.wake_succeeded(&from, task, self.now, out)
        } else {
            let failure = TaskFailure { message: String::new(), code: Some("recipe_exit".into()) };
            self.relay.task_failed(&from, task, &failure, self.now, out)
        };
        self.model.woken(&from, task, reply.is_ok(), well)
    }

    /// Time goes by as the driver lets it: deadlines when they are due, sweeps at their interval.
    fn pass(&mut self, ms: Millis, out: &mut Actions) -> Result<(), String> {
        let (end, sweep) = (self.now + ms, limits().sweep);
        loop {
            let next = self.relay.next_tick().unwrap_or(Millis::MAX).max(self.now);
            let at = next.min(self.now - self.now % sweep + sweep);
            if at > end {
                break;
            }
            self.now = at;
            self.relay.tick(at, out);
            let left = self.relay.next_tick();
            if left.is_some_and(|due| due <= at) {
                return Err(format!("a deadline of {left:?} is still there at {at}"));
            }
            if at.is_multiple_of(sweep) {
                self.relay.sweep(at, out);
            }
        }
        self.now = end;
        Ok(())
    }

    /// The server is killed and starts again with what it has stored down.
    fn restart(&mut self) -> Result<(), String> {
        self.relay = self.stored.start_relay(limits(), self.now);
        self.publishers.iter_mut().for_each(|publisher| publisher.channel = None);
        self.model.restarted();
        Ok(())
    }

    /// Does what the driver does with these actions: writes down, and closes channels.
    fn remember(&mut self, actions: &[Action]) {
        for action in actions {
            self.stored.apply(&self.relay, action);
            if let Action::CloseChannel { channel, .. } = action {
                for publisher in &mut self.publishers {
                    publisher.channel.take_if(|open| open == channel);
                }
            }
        }
    }

    /// Channels close and nobody says another word: every request must find its end by itself.
    fn fall_silent(&mut self) -> Result<(), String> {
        for who in 0..OWNERS.len() {
            self.step(&Event::Close { who })?;
        }
        self.step(&Event::Pass { ms: QUIET })?;
        let gauges = self.relay.gauges();
        if (gauges.queued, gauges.running, gauges.waking) != (0, 0, 0) {
            return Err(format!("something is left: {gauges:?}"));
        }
        self.model.all_have_ended()
    }
}

fn owner(name: &str) -> Owner {
    Owner { id: OwnerId(name.into()), label: name.into(), groups: Vec::new() }
}
