//! §10 admission, choice and queue.

use super::entries::Reported;
use super::tasks::{Request, State, Task};
use super::{Check, Model, ensure};
use relay::{Allowed, Failure, LlmId, Millis, Submit, SubmitRefusal, TaskId};
use wire::error::Code;

/// Why a request is refused (§10.3): the code, and `Retry-After` where the protocol fixes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    code: Code,
    retry_after_secs: Option<u64>,
}

impl Model {
    /// A caller's request is admitted or refused (§10).
    pub(in crate::relay_machine) fn submitted(
        &mut self,
        submit: &Submit,
        task: TaskId,
        reply: Result<(), &SubmitRefusal>,
    ) -> Check {
        self.submitted.push(task);
        let request = Request::new(submit);
        let candidates = self.candidates(&request);
        let refused = |code| Err(Refusal { code, retry_after_secs: Some(5) });
        // §10.1, §10.2.
        let expected = if self.draining {
            refused(Code::ServerShutdown)
        } else if candidates.is_empty() {
            Err(Refusal { code: Code::LlmNotFound, retry_after_secs: None })
        } else {
            self.choose(candidates, &request)
        };
        let found = match reply {
            Ok(()) => None,
            Err(SubmitRefusal::NotFound { .. }) => {
                Some(Refusal { code: Code::LlmNotFound, retry_after_secs: None })
            }
            Err(SubmitRefusal::Failure(Failure { code, retry_after_secs, .. })) => {
                Some(Refusal { code: *code, retry_after_secs: *retry_after_secs })
            }
        };
        ensure(found == expected.err(), || {
            format!("§10: the request gets {found:?}, not {expected:?}")
        })?;
        if let Ok(entry) = expected {
            self.admit(task, request, entry);
        }
        Ok(())
    }

    fn admit(&mut self, task: TaskId, request: Request, entry: LlmId) {
        // §14.1: the publisher's return is awaited.
        let awaits_return = self.in_grace() && !self.is_connected(entry);
        let state = State::Queued { position: self.step, since: self.now };
        let now = self.now;
        let admitted = Task {
            request,
            state,
            entry,
            admitted: now,
            sent_again: 0,
            notified: now,
            awaits_return,
        };
        self.tasks.insert(task, admitted);
        self.advance(entry);
    }

    /// §16.3.3: the first 60 s after a server start.
    pub(super) fn in_grace(&self) -> bool {
        self.now < self.started + self.limits.grace
    }

    /// §10.2: the entries that use the name and that the key covers, by id.
    pub(super) fn candidates(&self, request: &Request) -> Vec<LlmId> {
        let matches = |(id, entry): (&LlmId, &super::Entry)| {
            let named = entry.uses(&request.name);
            let of_user = request.user.as_ref().is_none_or(|user| *user == entry.owner);
            let covered = match &request.allowed {
                Allowed::All => true,
                Allowed::Some { names, own } => {
                    names.iter().any(|name| entry.uses(name)) || own.as_ref() == Some(&entry.owner)
                }
            };
            (named && of_user && covered).then_some(*id)
        };
        self.entries.iter().filter_map(matches).collect()
    }

    /// §10.5: the best of those that do not refuse, else the refusal of the first.
    pub(super) fn choose(
        &self,
        candidates: Vec<LlmId>,
        request: &Request,
    ) -> Result<LlmId, Refusal> {
        let none = Refusal { code: Code::LlmNotFound, retry_after_secs: None };
        let first =
            candidates.first().map_or(none, |entry| self.refusal(*entry, request).unwrap_or(none));
        let accepts = |entry: &LlmId| self.refusal(*entry, request).is_none();
        let best = candidates
            .into_iter()
            .filter(accepts)
            .min_by_key(|entry| (self.rank(*entry), self.load(*entry), *entry));
        best.ok_or(first)
    }

    /// §10.3.
    fn refusal(&self, entry: LlmId, request: &Request) -> Option<Refusal> {
        let after = |code, retry_after_secs| Some(Refusal { code, retry_after_secs });
        let reported = self.entries[&entry].reported;
        if !self.is_live(entry) && !self.in_grace() {
            return after(Code::LlmInactive, Some(5));
        }
        if self.is_live(entry) && reported == Reported::Inactive {
            return after(Code::LlmInactive, Some(5));
        }
        if reported == Reported::Hibernating
            && let Some(rest) = self.cooldown_rest(entry)
        {
            return after(Code::LlmWakeFailed, Some(rest.div_ceil(1_000)));
        }
        (!self.has_room(entry, &request.key))
            .then_some(Refusal { code: Code::QueueFull, retry_after_secs: Some(5) })
    }

    /// §10.4.
    fn has_room(&self, entry: LlmId, key: &str) -> bool {
        let waiting = self.waiting(entry);
        let full = self.limits.queue;
        let (share, all) = (full.div_ceil(4), waiting.len());
        let own = waiting.iter().filter(|task| self.tasks[task].request.key == key).count();
        let only_own = own == all;
        all < share || (only_own && all < full) || (!only_own && own < share && all < full + share)
    }

    fn rank(&self, entry: LlmId) -> u8 {
        match self.entries[&entry].reported {
            Reported::Active if self.is_connected(entry) => 0,
            Reported::Hibernating if self.is_connected(entry) => 1,
            Reported::Active | Reported::Hibernating | Reported::Inactive => 2,
        }
    }

    fn load(&self, entry: LlmId) -> usize {
        let busy = self.running(entry) + self.waiting(entry).len();
        busy * 1_000 / self.entries[&entry].slots
    }

    /// The tasks in an entry's queue, with those that must fail in this step.
    pub(super) fn queued(&self, entry: LlmId) -> Vec<TaskId> {
        let waits = |task: &Task| task.entry == entry && matches!(task.state, State::Queued { .. });
        self.tasks.iter().filter(|(_, task)| waits(task)).map(|(id, _)| *id).collect()
    }

    /// The tasks that wait for an entry, without those that must leave in this step.
    pub(super) fn waiting(&self, entry: LlmId) -> Vec<TaskId> {
        let mut waiting = self.queued(entry);
        waiting.retain(|task| !self.expected.forgotten.contains(task));
        waiting
    }

    /// Number of slots taken at an entry (§12.1), without those that must be given back in this step.
    pub(super) fn running(&self, entry: LlmId) -> usize {
        let runs = |task: &Task| task.entry == entry && task.run().is_some();
        let stays = |id: &TaskId| !self.expected.forgotten.contains(id);
        self.tasks.iter().filter(|(id, task)| runs(task) && stays(id)).count()
    }

    pub(super) fn position(&self, task: TaskId) -> Option<i64> {
        match self.tasks.get(&task)?.state {
            State::Queued { position, .. } => Some(position),
            State::Running(_) => None,
        }
    }

    /// Position of a waiting task in its queue, from 1 (§17.4.3): the least and the greatest, as
    /// tasks that came in the same step may stand in any order, and others may leave in this step.
    pub(super) fn place(&self, task: TaskId) -> Option<(usize, usize)> {
        let position = self.position(task)?;
        let entry = self.tasks[&task].entry;
        let others = self.waiting(entry);
        let before = others.iter().filter(|other| self.position(**other) < Some(position)).count();
        let others = self.queued(entry);
        let until = others.iter().filter(|other| self.position(**other) <= Some(position)).count();
        Some((before + 1, until))
    }

    /// §10.7: the requests of an entry that cannot run must fail. Dispatches and wakes are not predicted
    /// here: `check_queues` demands them at the end of the step.
    pub(super) fn advance(&mut self, entry: LlmId) {
        let waiting = self.waiting(entry);
        if waiting.is_empty() || !self.entries.contains_key(&entry) {
            return;
        }
        let code = if !self.is_connected(entry) {
            (!self.is_live(entry) && !self.in_grace()).then_some(Code::LlmInactive)
        } else {
            match self.entries[&entry].reported {
                Reported::Active => None,
                Reported::Inactive => Some(Code::LlmInactive),
                Reported::Hibernating if self.entries[&entry].wake.is_some() => None,
                // §11.2.
                Reported::Hibernating if self.cooldown_rest(entry).is_some() => {
                    Some(Code::LlmWakeFailed)
                }
                Reported::Hibernating => None,
            }
        };
        if let Some(code) = code {
            self.fail_queue(entry, code);
        }
    }

    /// Every waiting request of an entry must fail.
    pub(super) fn fail_queue(&mut self, entry: LlmId, code: Code) {
        for task in self.queued(entry) {
            self.must_fail(task, code);
            self.expected.forgotten.insert(task);
        }
    }

    /// §10.7, as an invariant after every step.
    pub(super) fn check_queues(&self) -> Check {
        for (id, entry) in &self.entries {
            let waiting = self.waiting(*id);
            if waiting.is_empty() || !self.is_connected(*id) {
                continue;
            }
            match entry.reported {
                Reported::Active => ensure(self.running(*id) >= entry.slots, || {
                    format!("§10.7: {waiting:?} wait for {} with a free slot", entry.name)
                })?,
                Reported::Hibernating => ensure(entry.wake.is_some(), || {
                    format!("§11.2: {waiting:?} wait for {} without a wake", entry.name)
                })?,
                Reported::Inactive => {
                    return Err(format!(
                        "§10.7: {waiting:?} wait for {}, which is down",
                        entry.name
                    ));
                }
            }
        }
        Ok(())
    }

    /// §10.6: a queue is served in order.
    pub(super) fn is_next(&self, task: TaskId) -> bool {
        let Some(entry) = self.tasks.get(&task).map(|task| task.entry) else { return false };
        let first = self.waiting(entry).into_iter().filter_map(|task| self.position(task)).min();
        first.is_none_or(|first| self.position(task) <= Some(first))
    }

    /// §9.2: the waiting time of a queue starts anew.
    pub(super) fn restart_waiting(&mut self, entry: LlmId) {
        let now: Millis = self.now;
        for task in self.waiting(entry) {
            if let Some(Task { state: State::Queued { since, .. }, .. }) = self.tasks.get_mut(&task)
            {
                *since = now;
            }
        }
    }
}
