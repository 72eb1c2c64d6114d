//! The simulated server: the real relay, whose actions are applied as mcpd does.

use super::answers::OpenUplink;
use super::callers::Answer;
use super::messages::{Down, Frame, Up, UplinkEnd};
use super::publisher::{owner, owner_id};
use super::{Planned, Simulation};
use crate::history::{Call, Fact};
use crate::stored_state::StoredState;
use relay::{
    Action, Actions, Allowed, ChannelId, LastEvent, Limits, Millis, Relay, Submit, TaskId,
    TaskSender,
};
use std::collections::BTreeMap;
use wire::publisher::TaskFailure;

/// The relay's limits, with shorter deadlines so that runs stay short.
pub(super) fn limits() -> Limits {
    Limits { first_byte: 120_000, total: 240_000, ..Limits::default() }
}

pub(super) struct Server {
    pub(super) relay: Relay,
    pub(super) draining: bool,
    up: bool,
    channels: BTreeMap<ChannelId, usize>,
    /// The tasks that the relay has not forgotten.
    pub(super) tasks: BTreeMap<TaskId, Call>,
    pub(super) answers: BTreeMap<TaskId, Answer>,
    /// The publisher to which each task was sent last.
    sent_to: BTreeMap<TaskId, usize>,
    /// Open uplinks, by number.
    pub(super) uplinks: BTreeMap<u64, OpenUplink>,
    next_task: u128,
    /// Due time of the tick that was planned last.
    ticks_at: Option<Millis>,
    stored: StoredState,
}

impl Server {
    pub(super) fn new(now: Millis) -> Self {
        let mut stored = StoredState::default();
        Self {
            relay: stored.start_relay(limits(), now),
            draining: false,
            up: true,
            channels: BTreeMap::new(),
            tasks: BTreeMap::new(),
            answers: BTreeMap::new(),
            sent_to: BTreeMap::new(),
            uplinks: BTreeMap::new(),
            next_task: 0,
            ticks_at: None,
            stored,
        }
    }

    /// Restarts from the stored state.
    pub(super) fn restart(&mut self, now: Millis) {
        self.relay = self.stored.start_relay(limits(), now);
        self.up = true;
    }
}

impl Simulation {
    /// Passes one event to the relay and applies its actions.
    pub(super) fn relay<R>(
        &mut self,
        event: impl FnOnce(&mut Relay, Millis, &mut Actions) -> R,
    ) -> R {
        let mut out = Actions::new();
        let reply = event(&mut self.server.relay, self.now, &mut out);
        self.apply_actions(out);
        reply
    }

    pub(super) fn plan_tick(&mut self) {
        let due = self.server.relay.next_tick().map(|at| at.max(self.now));
        if self.server.up && due.is_some() && due != self.server.ticks_at {
            self.server.ticks_at = due;
            self.plan(due.unwrap_or_default() - self.now, Planned::Tick);
        }
    }

    pub(super) fn submit(&mut self, call: Call, name: String) -> bool {
        if !self.server.up {
            return false;
        }
        self.server.next_task += 1;
        let task = TaskId(self.server.next_task);
        let key = String::new();
        let submit = Submit { name, key, allowed: Allowed::All, streaming: true, notices: false };
        let answer = self.new_answer(call);
        self.server.answers.insert(task, answer);
        self.server.tasks.insert(task, call);
        self.open.insert(call, task);
        let accepted = self.relay(|relay, now, out| relay.submit(&submit, task, now, out)).is_ok();
        if !accepted {
            self.server.tasks.remove(&task);
            self.server.answers.remove(&task);
            self.open.remove(&call);
        }
        accepted
    }

    pub(super) fn apply_actions(&mut self, actions: Actions) {
        for action in actions {
            self.server.stored.apply(&self.server.relay, &action);
            match action {
                Action::Dispatch(sent) => {
                    let Some(call) = self.server.tasks.get(&sent.task).copied() else { continue };
                    self.record(Fact::Dispatched { call, model: sent.llm_name.clone() });
                    if let Some(to) = self.server.channels.get(&sent.channel) {
                        self.server.sent_to.insert(sent.task, *to);
                    }
                    let frame = Frame::Task { task: sent.task, call, name: sent.llm_name };
                    self.send_to_channel(sent.channel, frame);
                }
                Action::Wake { channel, task, llm_name, .. } => {
                    self.send_to_channel(channel, Frame::Wake { task, name: llm_name });
                }
                Action::Cancel { channel, task, .. } => {
                    self.send_to_channel(channel, Frame::Cancel(task))
                }
                Action::Drain { channel, reconnect_after_ms } => {
                    self.send_to_channel(channel, Frame::Drain(reconnect_after_ms));
                }
                Action::CloseChannel { channel, last } => {
                    match last {
                        LastEvent::Superseded => self.send_to_channel(channel, Frame::Superseded),
                        LastEvent::Revoked(_) => self.send_to_channel(channel, Frame::Revoked),
                        LastEvent::None => {}
                    }
                    if let Some(to) = self.server.channels.remove(&channel) {
                        self.close(to, Down::Lost(channel));
                    }
                }
                Action::Fail { task, .. } => self.response_ends(task, false),
                Action::Complete { task } => self.response_ends(task, true),
                Action::StopAnswer { task } => self.stop_answer(task),
                Action::Forget { task } => {
                    self.server.tasks.remove(&task);
                    self.server.sent_to.remove(&task);
                    self.drop_read_answer(task);
                }
                Action::Notice { .. }
                | Action::SaveLlm(_)
                | Action::SaveSession(_)
                | Action::SaveName(_)
                | Action::Withdrawn { .. } => {}
            }
        }
    }

    pub(super) fn send_to_channel(&mut self, channel: ChannelId, frame: Frame) {
        if let Some(to) = self.server.channels.get(&channel).copied() {
            self.send_frame(to, channel, frame);
        }
    }

    /// Handles a publisher's message.
    pub(super) fn arrives_at_server(&mut self, from: usize, incarnation: u32, up: Up) {
        let alive = self.publishers[from].incarnation == incarnation;
        if !self.server.up {
            if alive {
                let failed = Down::Unanswered(Box::new(up));
                self.close(from, failed);
            }
            return;
        }
        let owner = owner_id(from);
        match up.clone() {
            Up::Register(request) => {
                let mut reply = self.relay(|relay, now, out| {
                    relay.register(&super::publisher::owner(from), &request, now, out)
                });
                if let Ok(registered) = &mut reply {
                    self.add_offsets(&mut registered.resume);
                }
                self.reply(from, up, Down::Registered(Box::new((*request, reply))));
            }
            Up::Open(session) => {
                let Ok(id) = session.parse() else { return };
                let opened = self.relay(|r, now, out| r.open_channel(&owner, id, now, out));
                if let Ok(opened) = &opened {
                    self.server.channels.insert(opened.channel, from);
                    let channel = opened.channel;
                    self.reply(from, up, Down::Opened(Ok(opened.clone())));
                    self.send_progress(id, channel);
                    self.relay(|relay, now, out| relay.channel_ready(channel, now, out));
                } else {
                    self.reply(from, up, Down::Opened(opened));
                }
            }
            Up::Heartbeat(heartbeat) => {
                let reply =
                    self.relay(|relay, now, out| relay.heartbeat(&owner, &heartbeat, now, out));
                self.reply(from, up, Down::HeartbeatReply(Box::new(reply)));
            }
            Up::Uplink(number, step) => {
                if let Some(step) = self.arriving(number, step) {
                    self.uplink_goes_on(from, number, step);
                }
            }
            Up::Woke { task, well, .. } => self.wake_ended(from, task, well),
        }
    }

    fn sender(&self, publisher: usize) -> TaskSender {
        let publisher = &self.publishers[publisher];
        let session = publisher.session_id.as_ref().and_then(|id| id.parse().ok());
        TaskSender { owner: owner_id(publisher.at), session }
    }

    fn wake_ended(&mut self, from: usize, task: TaskId, well: bool) {
        let who = self.sender(from);
        // The relay may have given this wake up before; the response is ignored.
        let _ = self.relay(|relay, now, out| {
            if well {
                return relay.wake_succeeded(&who, task, now, out);
            }
            let code = Some("recipe_exit".into());
            let failure = TaskFailure { message: String::new(), code };
            relay.task_failed(&who, task, &failure, now, out)
        });
    }

    /// Plans that the server finds a publisher's channels closed after this time in milliseconds.
    pub(super) fn server_notices(&mut self, publisher: usize, after: u64) {
        let channels = self.server.channels_of(publisher).collect();
        self.plan(after, Planned::ServerNotices(channels));
    }

    pub(super) fn channels_died(&mut self, dead: &[ChannelId]) {
        for channel in dead {
            if self.server.channels.remove(channel).is_some() {
                self.server.relay.channel_closed(*channel);
            }
        }
    }

    /// Kills the server, and restarts it after a while.
    pub(super) fn server_is_killed(&mut self) {
        if !std::mem::take(&mut self.server.up) {
            return;
        }
        for (channel, to) in std::mem::take(&mut self.server.channels) {
            self.close(to, Down::Lost(channel));
        }
        for (number, uplink) in std::mem::take(&mut self.server.uplinks) {
            self.close(uplink.from, Down::UplinkEnded(number, UplinkEnd::Lost));
        }
        for (call, _) in std::mem::take(&mut self.open) {
            self.record(Fact::Ended { call, complete: false });
        }
        self.server.tasks.clear();
        self.server.answers.clear();
        self.server.sent_to.clear();
        self.server.ticks_at = None;
        // Replaced on restart; receives no events in the meantime.
        self.server.relay = StoredState::default().start_relay(limits(), self.now);
        let pause = self.choices.between(200, 20_000);
        self.plan(pause, Planned::ServerStarts);
    }

    /// Lets a publisher acknowledge a task of another publisher, which must be refused.
    pub(super) fn access_another_task(&mut self, who: usize) {
        let tasks: Vec<TaskId> = self.server.sent_to.keys().copied().collect();
        let Some(task) = (!tasks.is_empty()).then(|| tasks[self.choices.index(tasks.len())]) else {
            return;
        };
        if self.server.sent_to.get(&task) == Some(&who) {
            return;
        }
        let from = TaskSender { owner: owner(who).id, session: None };
        let granted = self.relay(|relay, now, _| relay.acknowledge(&from, task, now)).is_ok();
        self.record(Fact::AccessGranted { own: !granted });
    }
}

impl Server {
    fn channels_of(&self, publisher: usize) -> impl Iterator<Item = ChannelId> + '_ {
        let belongs = move |(_, to): &(&ChannelId, &usize)| **to == publisher;
        self.channels.iter().filter(belongs).map(|(channel, _)| *channel)
    }
}
