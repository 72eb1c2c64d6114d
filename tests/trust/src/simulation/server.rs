//! The server: the real relay, and what mcpd's driver does around it.

use super::network::{Down, Frame, Up};
use super::publisher::{owner, owner_id};
use super::{What, World};
use crate::history::{Call, Fact};
use crate::written::Written;
use relay::{
    Action, Actions, Allowed, AnswerEnd, ChannelId, From, LastEvent, Limits, Millis, Relay,
    SessionId, Submit, TaskId, TaskRefusal,
};
use std::collections::BTreeMap;
use wire::publisher::TaskFailure;

/// Publishers declare at most as much.
const WAKE_SECS: u64 = 20;

/// The numbers of the simulated server: shorter where the real ones would only make it long.
pub(super) fn limits() -> Limits {
    Limits { first_byte: 120_000, total: 240_000, ..Limits::default() }
}

/// How long a recipe is waited for.
pub(super) fn wake_secs() -> u64 {
    WAKE_SECS
}

pub(super) struct Server {
    pub(super) relay: Relay,
    pub(super) draining: bool,
    up: bool,
    channels: BTreeMap<ChannelId, usize>,
    tasks: BTreeMap<TaskId, Call>,
    /// Open uploads: from whom.
    uploads: BTreeMap<TaskId, usize>,
    next_task: u128,
    /// When the tick that was planned last is due.
    ticks_at: Option<Millis>,
    written: Written,
}

impl Server {
    pub(super) fn new(now: Millis) -> Self {
        let mut written = Written::default();
        Self {
            relay: written.start(limits(), now),
            draining: false,
            up: true,
            channels: BTreeMap::new(),
            tasks: BTreeMap::new(),
            uploads: BTreeMap::new(),
            next_task: 0,
            ticks_at: None,
            written,
        }
    }

    /// From what an earlier run wrote down.
    pub(super) fn start(&mut self, now: Millis) {
        self.relay = self.written.start(limits(), now);
        self.up = true;
    }
}

impl World {
    /// One event for the relay, and what it asks for.
    pub(super) fn relay<R>(
        &mut self,
        event: impl FnOnce(&mut Relay, Millis, &mut Actions) -> R,
    ) -> R {
        let mut out = Actions::new();
        let reply = event(&mut self.server.relay, self.now, &mut out);
        self.perform(out);
        reply
    }

    pub(super) fn time_the_tick(&mut self) {
        let due = self.server.relay.next_tick().map(|at| at.max(self.now));
        if self.server.up && due.is_some() && due != self.server.ticks_at {
            self.server.ticks_at = due;
            self.plan(due.unwrap_or_default() - self.now, What::Tick);
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
        self.server.tasks.insert(task, call);
        self.open.insert(call, task);
        let accepted = self.relay(|relay, now, out| relay.submit(&submit, task, now, out)).is_ok();
        if !accepted {
            self.server.tasks.remove(&task);
            self.open.remove(&call);
        }
        accepted
    }

    fn perform(&mut self, actions: Actions) {
        for action in actions {
            self.server.written.take(&self.server.relay, &action);
            match action {
                Action::Dispatch(sent) => {
                    let Some(call) = self.server.tasks.get(&sent.task).copied() else { continue };
                    self.saw(Fact::Dispatched { call, row: sent.llm_name.clone() });
                    let frame = Frame::Task { task: sent.task, call, name: sent.llm_name };
                    self.down(sent.channel, frame);
                }
                Action::Wake { channel, task, llm_name, .. } => {
                    self.down(channel, Frame::Wake { task, name: llm_name });
                }
                Action::Cancel { channel, task, .. } => self.down(channel, Frame::Cancel(task)),
                Action::Drain { channel, reconnect_after_ms } => {
                    self.down(channel, Frame::Drain(reconnect_after_ms));
                }
                Action::CloseChannel { channel, last } => {
                    match last {
                        LastEvent::Superseded => self.down(channel, Frame::Superseded),
                        LastEvent::Revoked(_) => self.down(channel, Frame::Revoked),
                        LastEvent::None => {}
                    }
                    if let Some(to) = self.server.channels.remove(&channel) {
                        self.hang_up(to, Down::Lost(channel));
                    }
                }
                Action::Fail { task, .. } => self.ends(task, false),
                Action::Complete { task } => self.ends(task, true),
                Action::StopUpload { task } => {
                    if let Some(from) = self.server.uploads.remove(&task) {
                        self.hang_up(from, Down::Stop(task));
                    }
                }
                Action::Forget { task } => drop(self.server.tasks.remove(&task)),
                Action::Notice { .. }
                | Action::SaveLlm(_)
                | Action::SaveSession(_)
                | Action::SaveName(_)
                | Action::Withdrawn { .. } => {}
            }
        }
    }

    fn down(&mut self, channel: ChannelId, frame: Frame) {
        if let Some(to) = self.server.channels.get(&channel).copied() {
            self.frame(to, channel, frame);
        }
    }

    fn ends(&mut self, task: TaskId, complete: bool) {
        let Some(call) = self.server.tasks.get(&task).copied() else { return };
        if self.open.remove(&call).is_some() {
            self.saw(Fact::Ends { call, complete });
        }
    }

    /// A publisher's request arrives.
    pub(super) fn arrives(&mut self, from: usize, life: u32, up: Up) {
        let alive = self.publishers[from].life == life;
        if !self.server.up {
            if alive {
                let failed = Down::Unanswered(Box::new(up));
                self.hang_up(from, failed);
            }
            return;
        }
        let owner = owner_id(from);
        match up.clone() {
            Up::Register(request) => {
                let reply = self.relay(|relay, now, out| {
                    relay.register(&super::publisher::owner(from), &request, now, out)
                });
                self.reply(from, up, Down::Registered(Box::new((*request, reply))));
            }
            Up::Open(session) => {
                let opened = self.relay(|r, now, out| r.open_channel(&owner, &session, now, out));
                if let Ok(opened) = &opened {
                    self.server.channels.insert(opened.channel, from);
                    let channel = opened.channel;
                    self.reply(from, up, Down::Opened(Ok(opened.clone())));
                    self.relay(|relay, now, out| relay.channel_ready(channel, now, out));
                } else {
                    self.reply(from, up, Down::Opened(opened));
                }
            }
            Up::Beat(beat) => {
                let reply = self.relay(|relay, now, out| relay.heartbeat(&owner, &beat, now, out));
                self.reply(from, up, Down::Beaten(Box::new(reply)));
            }
            Up::Acknowledge(task) => {
                let who = self.who(from);
                let refused = self.relay(|relay, now, _| relay.acknowledge(&who, task, now));
                if refused == Err(TaskRefusal::Gone) {
                    self.hang_up(from, Down::Stop(task));
                }
            }
            Up::Begin(task) => self.upload_begins(from, task),
            Up::Piece { task, of, number } => self.piece(from, task, of, number),
            Up::End { task, well } => {
                if self.server.uploads.remove(&task).is_some() {
                    let end = if well { AnswerEnd::Complete } else { AnswerEnd::Aborted };
                    self.relay(|relay, now, out| relay.answer_ended(task, end, now, out));
                }
            }
            Up::Failed { task, code, .. } => {
                let (who, code) = (self.who(from), Some(code.into()));
                let failure = TaskFailure { message: String::new(), code };
                // Whatever it answers, the publisher has said what it had to say.
                let _ =
                    self.relay(|relay, now, out| relay.task_failed(&who, task, &failure, now, out));
            }
            Up::Woke { task, well, .. } => self.woke(from, task, well),
        }
    }

    fn who(&self, publisher: usize) -> From {
        let publisher = &self.publishers[publisher];
        let session = publisher.session_id.clone().map(SessionId);
        From { owner: owner_id(publisher.at), session, epoch: Some(publisher.epoch) }
    }

    fn upload_begins(&mut self, from: usize, task: TaskId) {
        let who = self.who(from);
        match self.relay(|relay, now, _| relay.answer_begins(&who, task, now)) {
            Ok(()) => drop(self.server.uploads.insert(task, from)),
            Err(TaskRefusal::Answered) => {}
            Err(TaskRefusal::Unknown | TaskRefusal::Gone) => {
                self.hang_up(from, Down::Stop(task));
            }
        }
    }

    fn piece(&mut self, from: usize, task: TaskId, of: Call, piece: u64) {
        if self.server.uploads.get(&task) != Some(&from) {
            return;
        }
        let Some(call) = self.server.tasks.get(&task).copied() else { return };
        self.relay(|relay, now, out| {
            relay.first_byte(task, out);
            relay.answer_goes_on(task, now);
        });
        if self.open.contains_key(&call) {
            self.saw(Fact::Receives { call, of, piece });
        }
    }

    fn woke(&mut self, from: usize, task: TaskId, well: bool) {
        let who = self.who(from);
        // A wake that was given up before is not known any more, and that is all.
        let _ = self.relay(|relay, now, out| {
            if well {
                return relay.wake_succeeded(&who, task, now, out);
            }
            let code = Some("recipe_exit".into());
            let failure = TaskFailure { message: String::new(), code };
            relay.task_failed(&who, task, &failure, now, out)
        });
    }

    /// A publisher's connections have died: the kernel says so now, or a timeout does later.
    pub(super) fn server_notices(&mut self, publisher: usize, after: u64) {
        let channels: Vec<ChannelId> = self.server.channels_of(publisher).collect();
        let uploads = self.server.uploads.iter().filter(|(_, from)| **from == publisher);
        let uploads: Vec<TaskId> = uploads.map(|(task, _)| *task).collect();
        let notices = super::network::Noticed { channels, uploads };
        self.plan(after, What::ServerNotices(notices));
    }

    pub(super) fn noticed(&mut self, dead: &super::network::Noticed) {
        for channel in &dead.channels {
            if self.server.channels.remove(channel).is_some() {
                self.server.relay.channel_closed(*channel);
            }
        }
        for task in &dead.uploads {
            if self.server.uploads.remove(task).is_some() {
                let end = AnswerEnd::Aborted;
                self.relay(|relay, now, out| relay.answer_ended(*task, end, now, out));
            }
        }
    }

    /// kill -9, and a new one after a while.
    pub(super) fn server_is_killed(&mut self) {
        if !std::mem::take(&mut self.server.up) {
            return;
        }
        for (channel, to) in std::mem::take(&mut self.server.channels) {
            self.hang_up(to, Down::Lost(channel));
        }
        for (task, from) in std::mem::take(&mut self.server.uploads) {
            self.hang_up(from, Down::Stop(task));
        }
        for (call, _) in std::mem::take(&mut self.open) {
            self.saw(Fact::Ends { call, complete: false });
        }
        self.server.tasks.clear();
        self.server.ticks_at = None;
        // Nobody speaks to it meanwhile.
        self.server.relay = Written::default().start(limits(), self.now);
        let pause = self.tape.between(200, 20_000);
        self.plan(pause, What::ServerStarts);
    }

    /// A publisher names a task that is another's.
    pub(super) fn meddle(&mut self, who: usize) {
        let tasks: Vec<TaskId> = self.server.uploads.keys().copied().collect();
        let Some(task) = (!tasks.is_empty()).then(|| tasks[self.tape.index(tasks.len())]) else {
            return;
        };
        if self.server.uploads.get(&task) == Some(&who) {
            return;
        }
        let from = From { owner: owner(who).id, session: None, epoch: None };
        let taken = self.relay(|relay, now, _| relay.acknowledge(&from, task, now)).is_ok();
        self.saw(Fact::Touches { own: !taken });
    }
}

impl Server {
    fn channels_of(&self, publisher: usize) -> impl Iterator<Item = ChannelId> + '_ {
        let its = move |(_, to): &(&ChannelId, &usize)| **to == publisher;
        self.channels.iter().filter(its).map(|(channel, _)| *channel)
    }
}
