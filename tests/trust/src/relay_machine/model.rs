//! The reference model: what somebody who knows only the protocol, and sees only what goes in and
//! out, would expect of the relay. It says where an answer or an action is not what was promised.

mod actions;
mod names;
mod replies;

use super::event::Pick;
use relay::{Allowed, ChannelId, Gauges, Limits, LlmView, Millis, OwnerId, TaskId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use wire::catalogue::LlmStatus;
use wire::publisher::ReportedStatus;

type Verdict = Result<(), String>;

/// See the module's page.
pub(super) struct Model {
    limits: Limits,
    pub(super) draining: bool,
    sessions: BTreeMap<String, Session>,
    /// By name and owner.
    rows: BTreeMap<RowKey, Row>,
    names: BTreeMap<String, names::Name>,
    channels: BTreeMap<ChannelId, String>,
    tasks: Vec<Task>,
    /// The latest request that was sent for the first time, by the row.
    latest: BTreeMap<String, TaskId>,
    /// Wakes that were sent, the oldest first, and for which row.
    wakes: VecDeque<(TaskId, RowKey)>,
}

type RowKey = (String, OwnerId);

struct Session {
    owner: OwnerId,
    epoch: u64,
    instance: Option<String>,
    channel: Option<ChannelId>,
    /// When a request of its was last taken, in this run of the server and before a revocation.
    heard: Option<Millis>,
    last: Millis,
}

struct Row {
    id: String,
    session: String,
    /// With whom its name and pool are shared.
    shares: Vec<String>,
    reported: ReportedStatus,
}

#[derive(Default)]
struct Task {
    wanted: String,
    /// What its key may use.
    allowed: Option<Allowed>,
    notices: bool,
    /// Terminal for its caller.
    over: bool,
    forgotten: bool,
    /// A byte went to the caller.
    delivered: bool,
    dispatches: u32,
    sent_to: BTreeSet<String>,
    sent_last: Option<String>,
    /// The row that it was sent to last, by its id.
    row: Option<String>,
    /// An upload is open; whether it was told to stop.
    upload: Option<bool>,
}

fn check(right: bool, why: impl FnOnce() -> String) -> Verdict {
    if right { Ok(()) } else { Err(why()) }
}

impl Model {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            draining: false,
            sessions: BTreeMap::new(),
            rows: BTreeMap::new(),
            names: BTreeMap::new(),
            channels: BTreeMap::new(),
            tasks: Vec::new(),
            latest: BTreeMap::new(),
            wakes: VecDeque::new(),
        }
    }

    /// One of the requests.
    pub(super) fn pick(&self, pick: Pick) -> Option<TaskId> {
        match pick {
            Pick::Any(back) => {
                let number = self.tasks.len().checked_sub(back + 1)?;
                Some(TaskId(number as u128))
            }
            Pick::Open(at) => {
                let open = self.tasks.iter().enumerate().filter(|(_, task)| !task.forgotten);
                let open: Vec<usize> = open.map(|(number, _)| number).collect();
                (!open.is_empty()).then(|| TaskId(open[at % open.len()] as u128))
            }
        }
    }

    /// The session that it was sent to last.
    pub(super) fn sent_to(&self, task: TaskId) -> Option<&str> {
        self.task(task)?.sent_last.as_deref()
    }

    /// The session whose publisher wakes.
    pub(super) fn wakes_at(&self, task: TaskId) -> Option<&str> {
        let (_, row) = self.wakes.iter().find(|(wake, _)| *wake == task)?;
        self.rows.get(row).map(|row| row.session.as_str())
    }

    pub(super) fn next_task(&self) -> TaskId {
        TaskId(self.tasks.len() as u128)
    }

    /// What a publisher with this session would say that it runs.
    pub(super) fn tasks_of(&self, session: &str) -> Vec<TaskId> {
        let tasks = self.tasks.iter().enumerate();
        let sent = tasks.filter(|(_, task)| !task.forgotten && task.sent_to.contains(session));
        sent.map(|(number, _)| TaskId(number as u128)).collect()
    }

    /// Whether the task's upload was told to stop, if one is open.
    pub(super) fn upload(&self, task: TaskId) -> Option<bool> {
        self.task(task)?.upload
    }

    pub(super) fn oldest_wake(&self) -> Option<TaskId> {
        self.wakes.front().map(|(task, ..)| *task)
    }

    fn task(&self, task: TaskId) -> Option<&Task> {
        self.tasks.get(usize::try_from(task.0).ok()?)
    }

    fn task_mut(&mut self, task: TaskId) -> Result<&mut Task, String> {
        let number = usize::try_from(task.0).ok();
        number.and_then(|at| self.tasks.get_mut(at)).ok_or(format!("{task} was never submitted"))
    }

    pub(super) fn catalogue(&mut self, rows: &[LlmView], now: Millis) -> Verdict {
        let mut seen = BTreeSet::new();
        for view in rows {
            let (name, owner) = (&view.info.name, &view.owner);
            let key = (name.clone(), owner.clone());
            let row = self.rows.get(&key);
            let row = row.ok_or(format!("{name} of {owner} is published by nobody"))?;
            check(seen.insert(key), || format!("{name} of {owner} is there twice"))?;
            check(view.info.in_flight <= view.info.max_concurrency, || {
                format!("{} run at {name}", view.info.in_flight)
            })?;
            let session = self.sessions.get(&row.session);
            let heard = session.and_then(|session| session.heard);
            let fresh = heard.is_some_and(|heard| now <= heard + self.limits.lease);
            let well = row.reported == ReportedStatus::Active;
            check(!(fresh && well) || view.info.status != LlmStatus::Inactive, || {
                format!("{name} is taken for dead though its publisher was just heard")
            })?;
        }
        let gone: Vec<RowKey> =
            self.rows.keys().filter(|key| !seen.contains(key)).cloned().collect();
        for key in gone {
            let last = self.rows.get(&key).and_then(|row| self.sessions.get(&row.session));
            let old = last.is_some_and(|s| now > s.last + self.limits.delete_after);
            check(old, || format!("{key:?} left the catalogue by itself"))?;
            self.row_leaves(&key, now);
        }
        Ok(())
    }

    /// True if the relay may have forgotten the session by now.
    fn may_be_gone(&self, id: &str, session: &Session, now: Millis) -> bool {
        let empty = session.channel.is_none() && !self.rows.values().any(|row| row.session == id);
        let wait = if empty { self.limits.empty_session } else { self.limits.delete_after };
        now > session.last + wait
    }

    pub(super) fn gauges(&self, gauges: &Gauges) -> Verdict {
        check(gauges.channels == self.channels.len(), || {
            format!("{} channels, {} were opened", gauges.channels, self.channels.len())
        })?;
        let open = self.tasks.iter().filter(|task| !task.forgotten).count();
        check(gauges.queued + gauges.running == open, || {
            format!("{gauges:?}, but {open} requests are not forgotten")
        })
    }

    pub(super) fn all_have_ended(&self) -> Verdict {
        let left = self.tasks.iter().position(|task| !task.over);
        check(left.is_none(), || format!("{left:?} never ended"))
    }
}
