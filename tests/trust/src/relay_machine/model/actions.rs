//! Checks each action of the relay against what it must and may do.

use super::entries::Reported;
use super::tasks::{Phase, Run, State};
use super::{Check, LastEventKind, Model, ensure};
use relay::{Action, Dispatch, Failure, LastEvent, LlmId, Notice, SessionId, TaskId};
use wire::error::Code;

impl Model {
    /// Checks an action and applies it.
    pub(in crate::relay_machine) fn action(&mut self, action: &Action) -> Check {
        match action {
            Action::Dispatch(dispatch) => self.dispatched(dispatch),
            Action::Wake { channel, task, llm_name, max_wait_secs } => {
                self.wake_started(*channel, *task, llm_name, *max_wait_secs)
            }
            Action::Cancel { channel, task, reason } => {
                let expected = self.expected.cancels.remove(task);
                ensure(expected == Some((*channel, *reason)), || {
                    format!("§13.1: {action:?}, not {expected:?}")
                })
            }
            Action::CloseChannel { channel, last } => {
                let last = match last {
                    LastEvent::Superseded => LastEventKind::Superseded,
                    LastEvent::Revoked(_) => LastEventKind::Revoked,
                    LastEvent::None => LastEventKind::None,
                };
                let expected = self.expected.closed.remove(channel);
                ensure(expected == Some(last), || format!("§6: {action:?}, not {expected:?}"))
            }
            Action::Drain { channel, reconnect_after_ms } => {
                let right = *reconnect_after_ms == self.limits.reconnect_after;
                ensure(self.expected.drained.remove(channel) && right, || {
                    format!("§16.2: {action:?}")
                })
            }
            Action::Notice { task, notice } => self.notified(*task, *notice),
            Action::Fail { task, failure } => self.request_failed(*task, failure),
            Action::Complete { task } => ensure(self.expected.completions.remove(task), || {
                format!("§12.2: {task} must not be complete")
            }),
            Action::StopAnswer { task } => {
                let ended = matches!(
                    self.run(*task).map(|run| run.phase),
                    Some(Phase::Ended { at }) if at == self.now
                );
                self.expected.stopped_answers.remove(task);
                ensure(ended, || format!("§12.2: the answer of {task} must not be stopped"))
            }
            Action::Forget { task } => {
                ensure(self.expected.forgotten.remove(task), || {
                    format!("§15.2: the slot of {task} must not be given back")
                })?;
                self.tasks.remove(task);
                Ok(())
            }
            Action::Withdrawn { name } => {
                ensure(self.expected.withdrawn.remove(name), || format!("§7.3.3: {action:?}"))
            }
            Action::SaveLlm(_) | Action::SaveSession(_) | Action::SaveName(_) => Ok(()),
        }
    }

    /// §10.6, §10.7, §12.2: a request is dispatched.
    fn dispatched(&mut self, dispatch: &Dispatch) -> Check {
        let task = dispatch.task;
        let session = self.sessions.iter().find(|(_, it)| it.channel == Some(dispatch.channel));
        let Some((id, session)) = session.map(|(id, session)| (*id, session)) else {
            return Err(format!("§10.7: {task} is sent to a closed channel"));
        };
        let protocol = session.protocol;
        let expected = (session.epoch, protocol != wire::PROTOCOL_1);
        ensure((dispatch.epoch, dispatch.speaks_v2) == expected, || {
            format!("§6.1: {dispatch:?} has not epoch and protocol {expected:?}")
        })?;
        let position = self.position(task);
        ensure(position.is_some(), || format!("§12.2: {task} is dispatched but does not wait"))?;
        let entry = self.tasks[&task].entry;
        self.check_dispatch(task, entry, id, &dispatch.llm_name)?;
        // §14.1: a request may be dispatched in the moment in which it would time out.
        if self.expected.by_timer.remove(&task) {
            self.expected.failures.remove(&task);
            self.expected.forgotten.remove(&task);
            self.expected.ends.remove(&task);
        }
        let now = self.now;
        // §20: a publisher of protocol 1 does not acknowledge.
        let old = protocol == wire::PROTOCOL_1;
        let phase = if old { Phase::Accepted } else { Phase::Dispatched };
        let absent = u32::from(self.expected.counting == Some(id) && !old);
        let run = Run { phase, session: id, protocol, dispatched: now, sign_of_life: now, absent };
        if let Some(task) = self.tasks.get_mut(&task) {
            ensure(dispatch.attempt == task.sent_again, || {
                format!("§12.3: attempt {} is not {}", dispatch.attempt, task.sent_again)
            })?;
            (task.state, task.awaits_return) = (State::Running(run), false);
        }
        Ok(())
    }

    fn check_dispatch(&self, task: TaskId, entry: LlmId, session: SessionId, name: &str) -> Check {
        let Some(known) = self.entries.get(&entry) else {
            return Err(format!("§9.4: {task} is sent to a withdrawn entry"));
        };
        ensure(known.session == session && known.name == name, || {
            format!("§10.5: {task} is sent to {name}, not to {}", known.name)
        })?;
        let runs = known.reported == Reported::Active && self.is_connected(entry);
        ensure(runs, || format!("§9.3: {task} is sent to {name}, which is {:?}", known.reported))?;
        ensure(self.running(entry) < known.slots, || format!("§15.1: {name} has no free slot"))?;
        ensure(self.is_next(task), || format!("§10.6: {task} is not the next one for {name}"))?;
        let fails = self.expected.failures.contains_key(&task);
        ensure(!fails || self.expected.by_timer.contains(&task), || {
            format!("§12.2: {task} must fail, and is sent")
        })
    }

    /// §12.1: the one outcome of a request, if it is a failure.
    fn request_failed(&mut self, task: TaskId, failure: &Failure) -> Check {
        let expected = self.expected.failures.remove(&task);
        let right = expected.as_ref().is_some_and(|codes| codes.contains(failure.code.as_str()));
        ensure(right, || format!("§12.2: {task} fails with {}, not {expected:?}", failure.code))?;
        let (status, retry) = meaning(failure.code);
        let retry_is_right = retry.is_none_or(|retry| retry == failure.retry_after_secs);
        ensure(status == failure.status && retry_is_right, || {
            format!("§4.4: {failure:?} should have status {status} and Retry-After {retry:?}")
        })
    }

    /// §14.3, §17.4.3.
    fn notified(&mut self, task: TaskId, notice: Notice) -> Check {
        let Some(known) = self.tasks.get(&task) else {
            return Err(format!("§14.3: a notice for {task}, which is over"));
        };
        let due = known.notified + self.limits.notice;
        ensure(known.request.notices && self.now >= due, || {
            format!("§14.3: a notice for {task} is not due")
        })?;
        // §14: a timer of the request itself comes before a notice of the same time.
        let waking = matches!(notice, Notice::Waking { .. });
        let end = self.expected.ends.get(&task).copied();
        ensure(end.is_none_or(|end| due < end || (waking && due == end)), || {
            format!("§14: a notice for {task}, due at {due}, after its end at {end:?}")
        })?;
        let ended_wake = self.expected.ended_wakes.get(&known.entry);
        let wake = self.entries.get(&known.entry).and_then(|entry| entry.wake.as_ref());
        let right = match (&known.state, notice) {
            (State::Queued { .. }, Notice::Waking { elapsed_secs, expected_secs }) => {
                wake.or(ended_wake).is_some_and(|wake| {
                    let elapsed = (self.now - wake.started) / self.limits.second;
                    let learned = self.entries[&known.entry].wake_ms.map(|ms| ms / 1_000);
                    let expected = learned.unwrap_or(wake.max_wait_secs);
                    elapsed == elapsed_secs && expected_secs.abs_diff(expected) <= 1
                })
            }
            (State::Queued { .. }, Notice::Queued(place)) => {
                let (least, most) = self.place(task).unwrap_or_default();
                wake.is_none() && (least..=most).contains(&place)
            }
            (State::Running(run), Notice::Running) => {
                match run.phase {
                    Phase::Dispatched | Phase::Accepted => true,
                    Phase::Answering { delivered } => !delivered,
                    // Before the end, which is expected in the same step.
                    Phase::Ended { at } => at == self.now && end.is_some(),
                }
            }
            (State::Queued { .. }, Notice::Running) | (State::Running(_), _) => false,
        };
        ensure(right, || format!("§17.4.3: {notice:?} is wrong for {task}"))?;
        self.expected.notices.remove(&task);
        let now = self.now;
        if let Some(task) = self.tasks.get_mut(&task) {
            task.notified = now;
        }
        Ok(())
    }
}

/// §4.4: the status of a code, and its `Retry-After` in seconds where it is fixed.
#[expect(clippy::wildcard_enum_match_arm, reason = "no other code ends a request")]
fn meaning(code: Code) -> (u16, Option<Option<u64>>) {
    match code {
        Code::BackendUnreachable => (502, Some(Some(10))),
        Code::BackendAborted => (502, Some(None)),
        Code::DispatchTimeout | Code::PublisherLost => (502, Some(Some(5))),
        Code::LlmInactive | Code::ServerShutdown => (503, Some(Some(5))),
        Code::QueueTimeout => (503, Some(Some(10))),
        Code::StoppedByOwner => (503, Some(None)),
        Code::FirstByteTimeout | Code::AnswerTimeout => (504, Some(None)),
        Code::LlmWaking | Code::LlmWakeFailed => (503, None),
        _ => (500, None),
    }
}
