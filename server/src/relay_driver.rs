//! Feeds events to [`relay::Relay`] and performs its actions.
//!
//! One lock holds the relay, the open channels and the pending calls. Everything done under it is
//! quick and never waits: frames go into bounded queues with `try_send`, and a full queue closes
//! its channel. Actions are performed in the order in which the relay made them.

mod actions;
mod answer;
mod caller;
mod clock;
pub(crate) mod flow;
mod frames;
mod news;
mod pieces;
mod response_head;
mod saving;
mod uplink;

pub(crate) use answer::{Answer, CallerEvent};
pub(crate) use caller::PendingResponse;
pub(crate) use frames::Frame;
pub(crate) use news::{News, Urgency};
pub(crate) use response_head::ResponseHead;
pub(crate) use uplink::Uplink;

use crate::accounting::Account;
use crate::limits;
use crate::store::{Store, StoreError};
use bytes::Bytes;
use clock::MonotonicClock;
use flow::Taken;
use parking_lot::Mutex;
use relay::{
    Actions, ChannelId, Ids, LlmId, Millis, OwnerId, Relay, SessionId, SessionRefusal, Submit,
    SubmitRefusal, TaskId, TaskSender,
};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::publisher::Resume;

/// A caller's request as it is sent to a publisher.
#[derive(Debug)]
pub(crate) struct CallerRequest {
    /// Path of the endpoint that the caller used.
    pub(crate) path: String,
    /// Headers that are passed on.
    pub(crate) headers: BTreeMap<String, String>,
    /// The body, byte for byte.
    pub(crate) body: Bytes,
    /// True if the caller requested a stream.
    pub(crate) streaming: bool,
    /// User of the caller's key.
    pub(crate) user: String,
}

/// A caller's request from its submission to the release of its slot.
struct PendingCall {
    /// `None` after the first byte of the response.
    request: Option<Arc<CallerRequest>>,
    answer: Arc<Answer>,
    /// The account of the request, which ends with its caller and so before this call may end.
    account: Weak<Account>,
}

/// An open control channel.
struct OpenChannel {
    frames: mpsc::Sender<Frame>,
    news: Arc<News>,
    /// Owner and machine, for the account of each request sent to it.
    publisher: Arc<str>,
}

struct Inner {
    relay: Relay,
    channels: HashMap<ChannelId, OpenChannel>,
    calls: HashMap<TaskId, PendingCall>,
    /// The open uplink of each session.
    uplinks: HashMap<SessionId, CancellationToken>,
    dirty_llms: HashSet<LlmId>,
    dirty_sessions: HashSet<SessionId>,
    dirty_names: HashSet<String>,
}

/// The relay with its timers, its channels and its store.
pub(crate) struct RelayDriver {
    inner: Mutex<Inner>,
    store: Arc<dyn Store>,
    saving: tokio::sync::Mutex<()>,
    clock: MonotonicClock,
    /// Notified when the next deadline may have moved forward.
    earlier: Notify,
    /// Notified when there are changes to store.
    unsaved: Notify,
    sweep: Duration,
}

/// Source of unguessable ids.
struct RandomIds;

impl Ids for RandomIds {
    fn fresh(&mut self) -> u128 {
        rand::random()
    }
}

impl RelayDriver {
    /// A driver for a relay with the contents of the store.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) async fn new(
        store: Arc<dyn Store>,
        limits: relay::Limits,
    ) -> Result<Arc<Self>, StoreError> {
        let clock = MonotonicClock::start();
        let sweep = Duration::from_millis(limits.sweep);
        let relay = Relay::new(limits, store.load().await?, Box::new(RandomIds), clock.now());
        let inner = Inner {
            relay,
            channels: HashMap::new(),
            calls: HashMap::new(),
            uplinks: HashMap::new(),
            dirty_llms: HashSet::new(),
            dirty_sessions: HashSet::new(),
            dirty_names: HashSet::new(),
        };
        Ok(Arc::new(Self {
            inner: Mutex::new(inner),
            store,
            saving: tokio::sync::Mutex::new(()),
            clock,
            earlier: Notify::new(),
            unsaved: Notify::new(),
            sweep,
        }))
    }

    /// The relay's time: unix milliseconds that never jump.
    #[must_use]
    pub(crate) fn now(&self) -> Millis {
        self.clock.now()
    }

    /// Runs one event of the relay and performs the actions that follow from it.
    pub(crate) fn with<R>(&self, event: impl FnOnce(&mut Relay, Millis, &mut Actions) -> R) -> R {
        self.event(|inner, now, out| event(&mut inner.relay, now, out))
    }

    /// As [`Self::with`], for events that also touch channels and pending calls.
    fn event<R>(&self, event: impl FnOnce(&mut Inner, Millis, &mut Actions) -> R) -> R {
        let now = self.now();
        let mut inner = self.inner.lock();
        let before = inner.relay.next_tick();
        let mut actions = Actions::new();
        let reply = event(&mut inner, now, &mut actions);
        let has_changes = inner.perform(actions);
        let earlier = match (before, inner.relay.next_tick()) {
            (Some(before), Some(after)) => after < before,
            (None, after) => after.is_some(),
            (Some(_), None) => false,
        };
        drop(inner);
        if earlier {
            self.earlier.notify_one();
        }
        if has_changes {
            self.unsaved.notify_one();
        }
        reply
    }

    /// Submits a caller's request.
    ///
    /// # Errors
    /// The relay refuses it, before anything is queued.
    pub(crate) fn submit(
        self: &Arc<Self>,
        request: CallerRequest,
        submit: &Submit,
        account: &Arc<Account>,
    ) -> Result<PendingResponse, SubmitRefusal> {
        let task = TaskId(rand::random());
        let answer = Arc::<Answer>::default();
        let call = PendingCall {
            request: Some(Arc::new(request)),
            answer: Arc::clone(&answer),
            account: Arc::downgrade(account),
        };
        self.event(|inner, now, out| {
            inner.calls.insert(task, call);
            match inner.relay.submit(submit, task, now, out) {
                Ok(()) => account.submitted(task, inner.relay.waits_for_wake(task)),
                Err(refusal) => {
                    inner.calls.remove(&task);
                    return Err(refusal);
                }
            }
            Ok(())
        })?;
        Ok(PendingResponse::new(self, task, answer))
    }

    /// Checks that a request would be accepted now, before its body has been read.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub(crate) fn check(&self, submit: &Submit) -> Result<(), SubmitRefusal> {
        let now = self.now();
        self.inner.lock().relay.check(submit, now)
    }

    /// Opens a session's control channel. Its queue begins with `hello`, followed by waiting tasks; its
    /// news with what the last channel may have lost.
    ///
    /// # Errors
    /// [`SessionRefusal`] if the session is unknown or another owner's.
    pub(crate) fn open_channel(
        &self,
        owner: &OwnerId,
        session: SessionId,
    ) -> Result<(ChannelId, mpsc::Receiver<Frame>, Arc<News>), SessionRefusal> {
        self.event(|inner, now, out| {
            let opened = inner.relay.open_channel(owner, session, now, out)?;
            let heartbeat = inner.relay.limits().heartbeat;
            let (frames, receiver) = mpsc::channel(limits::CHANNEL_FRAMES);
            let _ = frames.try_send(Frame::hello(&opened, session, heartbeat));
            let (publisher, news) = (inner.publisher(owner, session), Arc::<News>::default());
            inner.tell_progress(session, &news);
            let channel = OpenChannel { frames, news: Arc::clone(&news), publisher };
            inner.channels.insert(opened.channel, channel);
            inner.relay.channel_ready(opened.channel, now, out);
            Ok((opened.channel, receiver, news))
        })
    }

    /// Closes a channel whose response has ended.
    pub(crate) fn close_channel(&self, channel: ChannelId) {
        self.event(|inner, _, _| {
            inner.channels.remove(&channel);
            inner.relay.channel_closed(channel);
        });
    }

    /// Sends one event down the session's channel, if it is open.
    ///
    /// # Errors
    /// [`SessionRefusal::Unknown`] if the session is unknown or another owner's.
    pub(crate) fn send(
        &self,
        owner: &OwnerId,
        session: SessionId,
        frame: Frame,
    ) -> Result<(), SessionRefusal> {
        self.event(|inner, _, _| {
            let channel = inner.relay.channel_of(owner, session)?;
            if let Some(channel) = channel.and_then(|channel| inner.channels.get(&channel)) {
                let _ = channel.frames.try_send(frame);
            }
            Ok(())
        })
    }

    /// Opens a session's uplink, which ends an older one.
    ///
    /// # Errors
    /// [`SessionRefusal::Unknown`] if the session is unknown or another owner's.
    pub(crate) fn open_uplink(
        &self,
        owner: &OwnerId,
        session: SessionId,
    ) -> Result<Uplink, SessionRefusal> {
        let mut inner = self.inner.lock();
        inner.relay.channel_of(owner, session)?;
        let superseded = CancellationToken::new();
        if let Some(older) = inner.uplinks.insert(session, superseded.clone()) {
            older.cancel();
        }
        let from = TaskSender { owner: owner.clone(), session: Some(session) };
        Ok(Uplink::new(from, session, superseded))
    }

    /// Forgets an uplink whose request has ended.
    pub(crate) fn close_uplink(&self, uplink: &Uplink) {
        let mut inner = self.inner.lock();
        if !uplink.superseded.is_cancelled() {
            inner.uplinks.remove(&uplink.session());
        }
    }

    /// Tells a task's publisher how far its answer was taken.
    fn tell_taken(&self, task: TaskId, taken: Taken) {
        let inner = self.inner.lock();
        let channel = inner.relay.channel_of_task(task);
        if let Some(channel) = channel.and_then(|channel| inner.channels.get(&channel)) {
            channel.news.taken(task, taken);
        } else if let Some(call) = inner.calls.get(&task) {
            call.answer.mark_untold();
        }
    }

    /// Adds to the reply to a register how far the answers that go on have arrived.
    pub(crate) fn add_offsets(&self, resume: &mut [Resume]) {
        let inner = self.inner.lock();
        for entry in resume {
            let call = entry.id.parse().ok().and_then(|task| inner.calls.get(&task));
            entry.offset = call.map_or(0, |call| call.answer.received());
        }
    }

    /// Hands the head of a protocol-1 publisher's answer to its caller.
    pub(crate) fn deliver(&self, task: TaskId, answer: &Answer) {
        self.event(|inner, _, out| inner.deliver(task, answer, out));
    }

    /// Returns true if a caller still waits for a response.
    #[must_use]
    pub(crate) fn is_busy(&self) -> bool {
        let inner = self.inner.lock();
        inner.calls.keys().any(|task| inner.relay.is_open(*task))
    }

    /// The answer of a task.
    #[must_use]
    pub(crate) fn answer(&self, task: TaskId) -> Option<Arc<Answer>> {
        self.inner.lock().calls.get(&task).map(|call| Arc::clone(&call.answer))
    }

    /// The caller's request of a task; `None` once its response has begun.
    #[must_use]
    pub(crate) fn request(&self, task: TaskId) -> Option<Arc<CallerRequest>> {
        self.inner.lock().calls.get(&task)?.request.clone()
    }

    /// Runs deadlines and sweeps until `stop`. Never waits for the database; see
    /// [`Self::save_changes`].
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut sweep = tokio::time::interval(self.sweep);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let next = self.inner.lock().relay.next_tick();
            let due = next.map(|at| self.clock.instant(at));
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep_until(due) => self.with(|relay, now, out| relay.tick(now, out)),
                _ = sweep.tick() => self.with(|relay, now, out| relay.sweep(now, out)),
                () = self.earlier.notified() => {}
            }
        }
    }
}

impl Inner {
    /// Tells how far the answers of a session were taken: the last channel may have lost it.
    fn tell_progress(&self, session: SessionId, news: &News) {
        for task in self.relay.tasks_of(session) {
            let progress = self.calls.get(&task).and_then(|call| call.answer.progress());
            match progress {
                Some((taken, true)) => news.taken(task, taken),
                Some((taken, false)) => news.taken_before(task, taken),
                None => {}
            }
        }
    }

    /// Owner and machine of a session, as `owner/machine`.
    fn publisher(&self, owner: &OwnerId, session: SessionId) -> Arc<str> {
        let session = self.relay.saved_session(session);
        let machine = session.and_then(|session| session.instance).map(|instance| instance.name);
        let machine = machine.filter(|name| !name.is_empty());
        format!("{owner}/{}", machine.as_deref().unwrap_or("-")).into()
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
