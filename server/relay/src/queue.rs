//! Events of callers: a request arrives or its caller leaves. How a request's LLM is chosen.

use crate::state::{Entry, NewTask, Phase};
use crate::{
    Actions, Allowed, CancelReason, Failure, GoneReason, LlmId, Millis, Relay, Submit,
    SubmitRefusal, TaskId, failures,
};
use std::collections::BTreeSet;
use wire::catalogue::LlmStatus;
use wire::publisher::ReportedStatus;

/// The most names in "no such model".
const USABLE_NAMES: usize = 50;

/// Splits what a request names: a name, and with `NAME@user` the one user who serves it.
#[must_use]
pub fn parse_wanted(wanted: &str) -> (&str, Option<&str>) {
    match wanted.split_once('@') {
        Some((name, user)) => (name, Some(user)),
        None => (wanted, None),
    }
}

impl Relay {
    /// Takes a caller's request. The driver must already hold its body under `task`.
    ///
    /// # Errors
    /// [`SubmitRefusal`]: no such LLM, or it takes no request now. Nothing is queued then.
    pub fn submit(
        &mut self,
        request: &Submit,
        task: TaskId,
        now: Millis,
        out: &mut Actions,
    ) -> Result<(), SubmitRefusal> {
        let llm = self.choose(request, now)?;
        let is_reachable = self.catalogue.get(llm).is_some_and(|entry| self.is_reachable(entry));
        let waits_for_return = !is_reachable && self.in_grace(now);
        let wants_notices = request.streaming && request.notices;
        let new = NewTask {
            wanted: request.name.to_ascii_lowercase(),
            allowed: request.allowed.clone(),
            key: request.key.clone(),
            streaming: request.streaming,
            return_by: waits_for_return.then(|| now + self.limits.grace_wait),
            notice_at: wants_notices.then(|| now + self.limits.notice),
        };
        self.tasks.enqueue(task, llm, new, now);
        self.reschedule(task);
        self.advance_queue(llm, now, out);
        Ok(())
    }

    /// Checks if [`Self::submit`] would take this request now, so that the rest of a large body
    /// need not be read for a request that will be refused. Nothing changes.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub fn check(&self, request: &Submit, now: Millis) -> Result<(), SubmitRefusal> {
        self.choose(request, now).map(drop)
    }

    /// Ends a request whose caller is gone. A queued one is forgotten; a running one is stopped, and
    /// its slot stays taken until the publisher's work has ended.
    pub fn caller_gone(
        &mut self,
        task: TaskId,
        reason: GoneReason,
        now: Millis,
        out: &mut Actions,
    ) {
        let Some(phase) = self.tasks.get(task).map(|task| task.phase()) else {
            return;
        };
        match phase {
            Phase::Queued => self.forget(task, out),
            Phase::Ended => {}
            Phase::Dispatched | Phase::Accepted | Phase::Answering => {
                self.stop_work(task, CancelReason::Caller(reason), now, out);
            }
        }
    }

    /// The LLM that can take the request best.
    fn choose(&self, request: &Submit, now: Millis) -> Result<LlmId, SubmitRefusal> {
        if self.draining {
            return Err(SubmitRefusal::Failure(failures::shutdown()));
        }
        let wanted = request.name.to_ascii_lowercase();
        let candidates = self.candidates(&wanted, &request.allowed);
        if candidates.is_empty() {
            return Err(SubmitRefusal::NotFound { usable: self.usable_names(&request.allowed) });
        }
        self.best_of(&candidates, &request.key, now).ok_or_else(|| {
            let why = candidates.iter().find_map(|id| self.refusal(*id, &request.key, now));
            let why = why.unwrap_or_else(|| failures::inactive(&wanted, "its publisher is gone"));
            SubmitRefusal::Failure(why)
        })
    }

    /// The LLMs of that name, or with `NAME@user` that user's, that `allowed` covers.
    pub(crate) fn candidates(&self, wanted: &str, allowed: &Allowed) -> Vec<LlmId> {
        let (name, user) = parse_wanted(wanted);
        let usable = self.catalogue.members(name).filter(|(_, entry)| {
            user.is_none_or(|user| user.eq_ignore_ascii_case(&entry.owner().id.0))
                && is_covered(allowed, entry)
        });
        usable.map(|(id, _)| id).collect()
    }

    /// Of these LLMs, the one that can take a request of this key best.
    pub(crate) fn best_of(&self, candidates: &[LlmId], key: &str, now: Millis) -> Option<LlmId> {
        let candidates = candidates.iter().copied();
        let usable = candidates.filter(|id| self.refusal(*id, key, now).is_none());
        usable.min_by_key(|id| self.preference(*id))
    }

    fn usable_names(&self, allowed: &Allowed) -> Vec<String> {
        let usable = self.catalogue.iter().filter(|(_, entry)| is_covered(allowed, entry));
        let names: BTreeSet<&str> = usable.map(|(_, entry)| entry.name()).collect();
        names.into_iter().take(USABLE_NAMES).map(str::to_owned).collect()
    }

    /// Returns why this LLM cannot take a request now, if it cannot.
    fn refusal(&self, id: LlmId, key: &str, now: Millis) -> Option<Failure> {
        let entry = self.catalogue.get(id)?;
        let live = self.sessions.get(entry.session()).is_some_and(|session| session.live);
        if !live && !self.in_grace(now) {
            return Some(failures::inactive(entry.name(), "its publisher is gone"));
        }
        if live && entry.reported() == ReportedStatus::Inactive {
            return Some(failures::inactive(entry.name(), "its backend is down"));
        }
        if entry.reported() == ReportedStatus::Hibernating
            && let Some(pause) = entry.cooldown(now)
        {
            return Some(failures::wake_failed(entry.name(), &pause.cause, pause.left_secs(now)));
        }
        self.queue_refusal(id, entry, key)
    }

    /// Returns why the queue takes no further request of this key: a key that waits alone may fill
    /// it, and a quarter of it while other keys wait. For those there is a quarter more.
    fn queue_refusal(&self, id: LlmId, entry: &Entry, key: &str) -> Option<Failure> {
        let (waiting, quarter) = (self.tasks.queue_len(id), self.limits.queue.div_ceil(4));
        if waiting < quarter {
            return None;
        }
        let tasks = self.tasks.waiting(id).filter_map(|task| self.tasks.get(task));
        let own = tasks.filter(|task| task.key() == key).count();
        let alone = own == waiting;
        if !alone && own >= quarter {
            return Some(failures::queue_share(entry.name(), own));
        }
        let most = if alone && own > 0 { self.limits.queue } else { self.limits.queue + quarter };
        (waiting >= most).then(|| failures::queue_full(entry.name(), waiting))
    }

    /// Smaller is better: awake before asleep before away, then the least load per slot.
    fn preference(&self, id: LlmId) -> (u8, u64) {
        let Some(entry) = self.catalogue.get(id) else {
            return (u8::MAX, 0);
        };
        let rank = match (self.is_reachable(entry), self.status(entry)) {
            (true, LlmStatus::Active) => 0,
            (true, LlmStatus::Hibernating) => 1,
            (true, LlmStatus::Inactive) | (false, _) => 2,
        };
        let load = u64::from(self.tasks.running(id)) + self.tasks.queue_len(id) as u64;
        (rank, load * 1000 / u64::from(entry.slots()))
    }
}

fn is_covered(allowed: &Allowed, entry: &Entry) -> bool {
    allowed.covers(entry.name(), entry.pool(), &entry.owner().id.0)
}
