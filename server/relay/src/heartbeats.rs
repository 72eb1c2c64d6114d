//! `POST _provider-heartbeat`: a publisher reports its backends and names its tasks.

use crate::state::Phase;
use crate::{Actions, LlmId, Millis, OwnerId, Relay, SessionRefusal, TaskId, failures};
use std::collections::BTreeSet;
use wire::publisher::{Heartbeat, HeartbeatReply, LlmReport};

impl Relay {
    /// Takes a heartbeat.
    ///
    /// # Errors
    /// `Unknown` for unknown and foreign sessions, `StaleEpoch` if a newer register replaced the one
    /// of this heartbeat.
    pub fn heartbeat(
        &mut self,
        owner: &OwnerId,
        beat: &Heartbeat,
        now: Millis,
        out: &mut Actions,
    ) -> Result<HeartbeatReply, SessionRefusal> {
        let id = beat.provider_session_id.parse().map_err(|_| SessionRefusal::Unknown)?;
        self.authorize_session(owner, id)?;
        let session = self.sessions.get(id).ok_or(SessionRefusal::Unknown)?;
        if beat.epoch.is_some_and(|epoch| epoch != session.epoch) {
            return Err(SessionRefusal::StaleEpoch);
        }
        self.mark_alive(id, now);
        let llms = self.catalogue.of_session(id);
        for report in &beat.llms {
            self.apply_report(&llms, report, now, out);
        }
        for llm in &llms {
            self.advance_queue(*llm, now, out);
        }
        let mut reply = HeartbeatReply {
            name_requests: self.name_requests_for(owner),
            register_again: self.sessions.get(id).is_some_and(|session| session.register_again),
            ..HeartbeatReply::default()
        };
        if let Some(inflight) = &beat.inflight {
            let sent = self.tasks.of_session(id);
            self.end_unnamed_tasks(&sent, inflight, now, out);
            self.answer_named_tasks(&sent, inflight, now, &mut reply);
        }
        Ok(reply)
    }

    fn apply_report(
        &mut self,
        llms: &BTreeSet<LlmId>,
        report: &LlmReport,
        now: Millis,
        out: &mut Actions,
    ) {
        let name = report.name.to_ascii_lowercase();
        let is_named = |id: &&LlmId| self.catalogue.get(**id).is_some_and(|e| e.name() == name);
        if let Some(id) = llms.iter().find(is_named) {
            self.set_status(*id, report.status, now, out);
        }
    }

    /// Ends the tasks that two heartbeats in a row did not name.
    fn end_unnamed_tasks(
        &mut self,
        sent: &BTreeSet<TaskId>,
        inflight: &[String],
        now: Millis,
        out: &mut Actions,
    ) {
        let named: BTreeSet<TaskId> = inflight.iter().filter_map(|id| id.parse().ok()).collect();
        for task in sent.difference(&named).copied() {
            let Some(entry) = self.tasks.get_mut(task) else { continue };
            let is_lost = entry.mark_missed();
            match entry.phase() {
                Phase::Ended if is_lost => self.release(task, now, out),
                Phase::Accepted | Phase::Answering if is_lost => {
                    let failure = failures::publisher_lost(&self.name_of(task));
                    self.fail_running(task, failure, now, out);
                }
                Phase::Queued
                | Phase::Dispatched
                | Phase::Accepted
                | Phase::Answering
                | Phase::Ended => {}
            }
        }
    }

    /// Notes which tasks the heartbeat names, and adds to the reply which of them are to be stopped
    /// or not known.
    fn answer_named_tasks(
        &mut self,
        sent: &BTreeSet<TaskId>,
        inflight: &[String],
        now: Millis,
        reply: &mut HeartbeatReply,
    ) {
        for id in inflight {
            let task = id.parse::<TaskId>().ok().filter(|task| sent.contains(task));
            match task.and_then(|task| self.take_named(task, now)) {
                None => reply.unknown.push(id.clone()),
                Some(Phase::Ended) => reply.cancel.push(id.clone()),
                Some(Phase::Queued | Phase::Dispatched | Phase::Accepted | Phase::Answering) => {}
            }
        }
    }

    /// The publisher names a task, and so has it even if its acknowledgement was lost. Returns the
    /// task's phase.
    pub(crate) fn take_named(&mut self, task: TaskId, now: Millis) -> Option<Phase> {
        self.tasks.accept(task);
        let entry = self.tasks.get_mut(task)?;
        entry.mark_seen(now);
        let phase = entry.phase();
        self.reschedule(task);
        Some(phase)
    }
}
