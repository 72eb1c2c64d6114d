//! Feeds events to [`relay::Relay`] and performs its actions.
//!
//! One lock holds the relay, the open channels and the requests under way. Everything done under it
//! is quick and never waits: frames go into bounded queues with `try_send`, and a queue that is full
//! closes its channel. Actions leave in the order in which the relay made them.

mod actions;
pub(crate) mod frames;
pub(crate) mod pipe;
pub(crate) mod response;
mod saving;

use crate::limits;
use crate::store::{Store, StoreError};
use bytes::Bytes;
pub(crate) use frames::Frame;
use parking_lot::Mutex;
use relay::{
    Actions, AnswerEnd, ChannelId, Failure, GoneReason, Ids, LlmId, Millis, Notice, OwnerId, Relay,
    SessionId, SessionRefusal, Submit, SubmitRefusal, TaskId,
};
use response::{Answer, AnswerHead};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A caller's request, as it will be sent.
#[derive(Debug)]
pub(crate) struct CallerRequest {
    /// The endpoint that the caller used.
    pub(crate) path: String,
    /// Allow-listed headers.
    pub(crate) headers: BTreeMap<String, String>,
    /// As the caller sent it.
    pub(crate) body: Bytes,
    /// The caller asked for a stream.
    pub(crate) streaming: bool,
    /// The user of the caller's key.
    pub(crate) user: String,
}

/// What a waiting caller is told.
pub(crate) enum CallerEvent {
    /// How things stand.
    Notice(Notice),
    /// The answer begins: its head, and where its bytes come from.
    Answer(AnswerHead, pipe::Reader),
    /// It failed.
    Fail(Failure),
}

/// What the publisher's side needs of a task that it answers.
#[derive(Clone)]
pub(crate) struct Upload {
    events: mpsc::Sender<CallerEvent>,
    /// Cancelled when nobody waits for the answer any more.
    pub(crate) stop: CancellationToken,
    /// The answer so far, when it comes in several requests.
    pub(crate) pieces: Arc<tokio::sync::Mutex<Option<Answer>>>,
}

struct Kept {
    /// Until the answer's first byte.
    request: Option<Arc<CallerRequest>>,
    upload: Upload,
}

struct Inner {
    relay: Relay,
    channels: HashMap<ChannelId, mpsc::Sender<Frame>>,
    kept: HashMap<TaskId, Kept>,
    dirty_llms: HashSet<LlmId>,
    dirty_sessions: HashSet<SessionId>,
    dirty_names: HashSet<String>,
}

/// See the module's page.
pub(crate) struct Driver {
    inner: Mutex<Inner>,
    store: Arc<dyn Store>,
    saving: tokio::sync::Mutex<()>,
    clock: Clock,
    /// Something may be due earlier than the timer thinks.
    changed: Notify,
    /// Something waits to be stored.
    unsaved: Notify,
    sweep: Duration,
}

/// Unix milliseconds that never jump.
#[derive(Debug, Clone, Copy)]
struct Clock {
    origin: Instant,
    unix_ms: u64,
}

impl Clock {
    fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { origin: Instant::now(), unix_ms: to_ms(unix) }
    }

    fn now(self) -> Millis {
        self.unix_ms + to_ms(self.origin.elapsed())
    }

    fn instant(self, at: Millis) -> Instant {
        self.origin + Duration::from_millis(at.saturating_sub(self.unix_ms))
    }
}

fn to_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Ids that nobody can guess.
pub(crate) struct RandomIds;

impl Ids for RandomIds {
    fn fresh(&mut self) -> u128 {
        rand::random()
    }
}

/// A submitted request: its events, and the guard that tells the relay when the caller leaves.
pub(crate) struct Waiting {
    /// What happens to it.
    pub(crate) events: mpsc::Receiver<CallerEvent>,
    /// Dropped when the caller is gone.
    pub(crate) guard: CallerGuard,
}

/// Tells the relay that the caller is gone when it is dropped before the task's end.
pub(crate) struct CallerGuard {
    driver: Arc<Driver>,
    task: TaskId,
    reason: GoneReason,
    armed: bool,
}

impl CallerGuard {
    /// The caller got all it will get.
    pub(crate) fn disarm(&mut self) {
        self.armed = false;
    }

    /// The backend has said nothing for too long; the relay's verdict comes as an event.
    pub(crate) fn answer_is_silent(&self) {
        let task = self.task;
        self.driver.with(|relay, now, out| relay.answer_ended(task, AnswerEnd::Silent, now, out));
    }

    /// Why the caller will be gone, when it is not the connection.
    pub(crate) fn because(&mut self, reason: GoneReason) {
        self.reason = reason;
    }

    /// The caller must go: its work stops now.
    pub(crate) fn leave(&mut self, reason: GoneReason) {
        if std::mem::take(&mut self.armed) {
            let task = self.task;
            self.driver.with(|relay, now, out| relay.caller_gone(task, reason, now, out));
        }
    }
}

impl Drop for CallerGuard {
    fn drop(&mut self) {
        self.leave(self.reason);
    }
}

impl Driver {
    /// A driver for the rows that the store has.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn new(
        store: Arc<dyn Store>,
        limits: relay::Limits,
    ) -> Result<Arc<Self>, StoreError> {
        let clock = Clock::start();
        let sweep = Duration::from_millis(limits.sweep);
        let relay = Relay::new(limits, store.load().await?, Box::new(RandomIds), clock.now());
        let inner = Inner {
            relay,
            channels: HashMap::new(),
            kept: HashMap::new(),
            dirty_llms: HashSet::new(),
            dirty_sessions: HashSet::new(),
            dirty_names: HashSet::new(),
        };
        Ok(Arc::new(Self {
            inner: Mutex::new(inner),
            store,
            saving: tokio::sync::Mutex::new(()),
            clock,
            changed: Notify::new(),
            unsaved: Notify::new(),
            sweep,
        }))
    }

    /// Unix milliseconds, monotonic.
    #[must_use]
    pub(crate) fn now(&self) -> Millis {
        self.clock.now()
    }

    /// One event: runs it and performs what it asks for.
    pub(crate) fn with<R>(&self, event: impl FnOnce(&mut Relay, Millis, &mut Actions) -> R) -> R {
        self.event(|inner, now, out| event(&mut inner.relay, now, out))
    }

    /// As [`Self::with`], for events that touch what is kept beside the relay too.
    fn event<R>(&self, event: impl FnOnce(&mut Inner, Millis, &mut Actions) -> R) -> R {
        let now = self.now();
        let mut inner = self.inner.lock();
        let before = inner.relay.next_tick();
        let mut actions = Actions::new();
        let reply = event(&mut inner, now, &mut actions);
        let saves = inner.perform(actions);
        let earlier = match (before, inner.relay.next_tick()) {
            (Some(before), Some(after)) => after < before,
            (None, after) => after.is_some(),
            (Some(_), None) => false,
        };
        drop(inner);
        if earlier {
            self.changed.notify_one();
        }
        if saves {
            self.unsaved.notify_one();
        }
        reply
    }

    /// Hands a caller's request in.
    ///
    /// # Errors
    /// The relay's refusal, decided before anything is queued.
    pub(crate) fn submit(
        self: &Arc<Self>,
        request: CallerRequest,
        submit: &Submit,
    ) -> Result<Waiting, SubmitRefusal> {
        let task = TaskId(rand::random());
        let (sender, events) = mpsc::channel(limits::CALLER_EVENTS);
        let upload =
            Upload { events: sender, stop: CancellationToken::new(), pieces: Arc::default() };
        let request = Some(Arc::new(request));
        self.event(|inner, now, out| {
            inner.kept.insert(task, Kept { request, upload });
            let accepted = inner.relay.submit(submit, task, now, out);
            if accepted.is_err() {
                inner.kept.remove(&task);
            }
            accepted
        })?;
        let driver = Arc::clone(self);
        let guard = CallerGuard { driver, task, reason: GoneReason::Disconnected, armed: true };
        Ok(Waiting { events, guard })
    }

    /// Whether a request would be taken now, before its body has been read.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub(crate) fn check(&self, submit: &Submit) -> Result<(), SubmitRefusal> {
        let now = self.now();
        self.inner.lock().relay.check(submit, now)
    }

    /// Opens a session's control channel: its queue begins with `hello`, then comes what waited.
    ///
    /// # Errors
    /// [`SessionRefusal`].
    pub(crate) fn open_channel(
        &self,
        owner: &OwnerId,
        session: SessionId,
    ) -> Result<(ChannelId, mpsc::Receiver<Frame>), SessionRefusal> {
        self.event(|inner, now, out| {
            let opened = inner.relay.open_channel(owner, session, now, out)?;
            let heartbeat = inner.relay.limits().heartbeat;
            let (sender, receiver) = mpsc::channel(limits::CHANNEL_FRAMES);
            let _ = sender.try_send(frames::hello(&opened, session, heartbeat));
            inner.channels.insert(opened.channel, sender);
            inner.relay.channel_ready(opened.channel, now, out);
            Ok((opened.channel, receiver))
        })
    }

    /// The channel's response is gone.
    pub(crate) fn detach_channel(&self, channel: ChannelId) {
        self.event(|inner, _, _| {
            inner.channels.remove(&channel);
            inner.relay.channel_closed(channel);
        });
    }

    /// Sends one event down the session's channel, if it is open.
    ///
    /// # Errors
    /// [`SessionRefusal::Unknown`], for unknown and foreign sessions.
    pub(crate) fn send(
        &self,
        owner: &OwnerId,
        session: SessionId,
        frame: Frame,
    ) -> Result<(), SessionRefusal> {
        self.event(|inner, _, _| {
            let channel = inner.relay.channel_of(owner, session)?;
            if let Some(sender) = channel.and_then(|channel| inner.channels.get(&channel)) {
                let _ = sender.try_send(frame);
            }
            Ok(())
        })
    }

    /// The answer's first byte is there: the point of no return. Its head goes to the caller, and
    /// the request's body is not needed any more.
    pub(crate) fn begin_answer(&self, task: TaskId, head: AnswerHead, reader: pipe::Reader) {
        self.event(|inner, _, out| {
            inner.relay.first_byte(task, out);
            if let Some(kept) = inner.kept.get_mut(&task) {
                kept.request = None;
                let _ = kept.upload.events.try_send(CallerEvent::Answer(head, reader));
            }
        });
    }

    /// Whether a caller still waits for an answer.
    #[must_use]
    pub(crate) fn is_busy(&self) -> bool {
        let inner = self.inner.lock();
        inner.kept.keys().any(|task| inner.relay.is_open(*task))
    }

    /// What the publisher's side needs of a task.
    #[must_use]
    pub(crate) fn upload(&self, task: TaskId) -> Option<Upload> {
        self.inner.lock().kept.get(&task).map(|kept| kept.upload.clone())
    }

    /// The body of a task, as the caller sent it; `None` once its answer has begun.
    #[must_use]
    pub(crate) fn request(&self, task: TaskId) -> Option<Arc<CallerRequest>> {
        self.inner.lock().kept.get(&task)?.request.clone()
    }

    /// Drives time: deadlines and sweeps. Ends when `stop` is cancelled. Nothing here waits for the
    /// database: see [`Self::save_changes`].
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
                () = self.changed.notified() => {}
            }
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
