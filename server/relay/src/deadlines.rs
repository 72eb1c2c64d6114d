//! Events of the clock: deadlines of tasks and wakes, leases, deletions, the server's end.

use crate::state::{Due, Task};
use crate::{Action, Actions, Millis, Notice, Relay, SessionId, TaskId, failures};

/// From this many live publishers on, a sweep that would expire most of them is taken for a fault of
/// the network.
const MASS_EXPIRY_FROM: usize = 10;
/// Per cent of the live publishers that count as most.
const MASS_EXPIRY_PERCENT: usize = 55;

impl Relay {
    /// When [`Relay::tick`] is due next, if anything is timed.
    #[must_use]
    pub fn next_tick(&self) -> Option<Millis> {
        self.first_timer().map(|(when, _)| when)
    }

    fn first_timer(&self) -> Option<(Millis, TaskId)> {
        self.tasks.first_timer().into_iter().chain(self.wakes.first_timer()).min()
    }

    /// Handles every deadline that is due by now.
    pub fn tick(&mut self, now: Millis, out: &mut Actions) {
        while let Some((_, task)) = self.first_timer().filter(|(when, _)| *when <= now) {
            if self.wakes.llm(task).is_some() {
                self.wake_due(task, now, out);
            } else {
                self.task_due(task, now, out);
            }
        }
    }

    fn task_due(&mut self, task: TaskId, now: Millis, out: &mut Actions) {
        self.tasks.schedule(task, None);
        let Some(entry) = self.tasks.get(task) else { return };
        let due = entry.next_due(&self.limits, self.conditions(entry));
        if let Some((_, due)) = due.filter(|(when, _)| *when <= now) {
            self.handle_due(task, due, now, out);
        }
        self.reschedule(task);
    }

    fn handle_due(&mut self, task: TaskId, due: Due, now: Millis, out: &mut Actions) {
        let name = self.name_of(task);
        match due {
            Due::Notice => self.notify_caller(task, now, out),
            Due::NotReturned => {
                let failure = failures::inactive(&name, "its publisher has not returned");
                self.fail_queued(task, failure, out);
            }
            Due::QueueTimeout => {
                let failure = failures::queue_timeout(&name, self.limits.queue_wait);
                self.fail_queued(task, failure, out);
            }
            Due::WakeHold => {
                let failure = failures::waking(&name, self.wake_left_secs(task, now));
                self.fail_queued(task, failure, out);
            }
            Due::AckTimeout => {
                self.fail_running(task, failures::dispatch_timeout(&name), now, out);
            }
            Due::FirstByteTimeout => {
                self.fail_running(task, failures::first_byte_timeout(&name), now, out);
            }
            Due::TotalTimeout => {
                self.fail_running(task, failures::answer_timeout(&name), now, out);
            }
            Due::Lost => self.fail_running(task, failures::publisher_lost(&name), now, out),
            Due::Release => self.release(task, now, out),
        }
    }

    /// Reports a request's progress to its caller.
    fn notify_caller(&mut self, task: TaskId, now: Millis, out: &mut Actions) {
        let Some(entry) = self.tasks.get_mut(task) else { return };
        entry.notice_at = Some(now + self.limits.notice);
        let llm = entry.llm();
        let notice = match self.tasks.waiting(llm).position(|waiting| waiting == task) {
            None => Notice::Running,
            Some(at) => match (self.wakes.of(llm), self.catalogue.get(llm)) {
                (Some(wake), Some(entry)) => Notice::Waking {
                    elapsed_secs: now.saturating_sub(wake.began) / 1000,
                    expected_secs: entry
                        .wake_ms()
                        .map_or(entry.max_wait_secs(), |ms| ms.div_ceil(1000)),
                },
                _ => Notice::Queued(at + 1),
            },
        };
        out.push(Action::Notice { task, notice });
    }

    /// Estimated seconds until the task's LLM is awake.
    fn wake_left_secs(&self, task: TaskId, now: Millis) -> u64 {
        let llm = self.tasks.get(task).map(Task::llm);
        let left = llm.and_then(|llm| {
            let ready = self.wakes.of(llm)?.began + self.catalogue.get(llm)?.wake_ms()?;
            Some(ready.saturating_sub(now).div_ceil(1000))
        });
        left.unwrap_or(10).clamp(1, 60)
    }

    /// Expires leases and deletes what is old. A sweep that comes late adds its own delay to every
    /// lease: publishers cannot reach a server that was stopped.
    pub fn sweep(&mut self, now: Millis, out: &mut Actions) {
        self.tasks.prune();
        let gap = now.saturating_sub(self.last_sweep.unwrap_or(now));
        self.last_sweep = Some(now);
        if gap > 2 * self.limits.sweep {
            for session in self.sessions.iter_mut().filter(|session| session.live) {
                session.last_seen = now.min(session.last_seen + gap);
            }
        }
        self.expire_leases(now, out);
        if self.in_grace(now) {
            return;
        }
        // After the grace of a start, what waits for publishers that have not returned fails.
        for id in self.tasks.awaited() {
            self.advance_queue(id, now, out);
        }
        if now >= self.no_deletion_before && now >= self.started + self.limits.grace_delete {
            self.delete_old(now, out);
        }
    }

    fn expire_leases(&mut self, now: Millis, out: &mut Actions) {
        let live = self.sessions.iter().filter(|(_, session)| session.live).count();
        let is_over = |last_seen: Millis| now > last_seen + self.limits.lease;
        let expired = self.sessions.iter().filter(|(_, s)| s.live && is_over(s.last_seen));
        let expired: Vec<SessionId> = expired.map(|(id, _)| id).collect();
        if live >= MASS_EXPIRY_FROM && expired.len() * 100 >= live * MASS_EXPIRY_PERCENT {
            self.no_deletion_before = now + self.limits.freeze;
        }
        for id in expired {
            self.expire(id, "its publisher is gone", now, out);
        }
    }

    /// Deletes old sessions, one after the other, and old reservations.
    fn delete_old(&mut self, now: Millis, out: &mut Actions) {
        for id in self.sessions.iter().map(|(id, _)| id).collect::<Vec<_>>() {
            if self.is_old(id, now) {
                self.end_session(id, "its publisher is gone", now, out);
                self.settle_shares(now, out);
            }
        }
        let freed = self.catalogue.end_reservations(now);
        out.extend(freed.into_iter().map(Action::SaveName));
        self.settle_shares(now, out);
    }

    fn is_old(&self, id: SessionId, now: Millis) -> bool {
        let Some(session) = self.sessions.get(id) else { return false };
        let is_empty = session.channel().is_none() && self.catalogue.publishes_nothing(id);
        let wait = if is_empty { self.limits.empty_session } else { self.limits.delete_after };
        !session.live && !self.tasks.is_busy(id) && now > session.last_seen + wait
    }

    /// Prepares the server's end: new requests are refused, waiting ones fail, running ones go on,
    /// every publisher is notified.
    pub fn drain(&mut self, out: &mut Actions) {
        self.draining = true;
        for task in self.tasks.iter().map(|(id, _)| id).collect::<Vec<_>>() {
            self.reschedule(task);
        }
        for id in self.tasks.awaited() {
            self.fail_queue(id, &failures::shutdown(), out);
        }
        let reconnect_after_ms = self.limits.reconnect_after;
        let channels = self.sessions.channels().into_iter();
        out.extend(channels.map(|channel| Action::Drain { channel, reconnect_after_ms }));
    }
}
