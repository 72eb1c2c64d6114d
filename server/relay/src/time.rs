//! What time does: deadlines of tasks, leases, deletions, the server's end.

use crate::task::Due;
use crate::{Action, Actions, LlmId, Millis, Notice, Relay, SessionId, TaskId, failures};

/// From so many publishers on, a sweep that would expire most of them doubts itself.
const DOUBT_FROM: usize = 10;
/// Per cent that count as most.
const DOUBT_PERCENT: usize = 55;

impl Relay {
    /// When [`Relay::tick`] is due next, if anything is timed.
    #[must_use]
    pub fn next_tick(&self) -> Option<Millis> {
        self.timers.first().map(|(when, _)| *when)
    }

    /// Everything that is due by now.
    pub fn tick(&mut self, now: Millis, out: &mut Actions) {
        while let Some((when, task)) = self.timers.first().copied() {
            if when > now {
                return;
            }
            self.timers.pop_first();
            if self.wakes.contains_key(&task) {
                self.wake_due(task, now, out);
            } else {
                self.task_due(task, now, out);
            }
        }
    }

    fn task_due(&mut self, task: TaskId, now: Millis, out: &mut Actions) {
        let Some(entry) = self.tasks.get_mut(&task) else {
            return;
        };
        entry.due = None;
        let Some(entry) = self.tasks.get(&task) else {
            return;
        };
        let due = entry.next_due(&self.limits, self.surroundings(entry));
        let name = self.name_of(task);
        match due {
            Some((when, what)) if when <= now => match what {
                Due::Notice => self.notice(task, now, out),
                Due::NotReturned => {
                    let failure = failures::inactive(&name, "its publisher has not returned");
                    self.fail_queued(task, failure, out);
                }
                Due::QueueTimeout => {
                    let failure = failures::queue_timeout(&name, self.limits.queue_wait);
                    self.fail_queued(task, failure, out);
                }
                Due::WakeHold => {
                    let failure = failures::waking(&name, self.wake_left(task, now));
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
            },
            Some(_) | None => {}
        }
        self.reschedule(task);
    }

    fn notice(&mut self, task: TaskId, now: Millis, out: &mut Actions) {
        let Some(entry) = self.tasks.get_mut(&task) else {
            return;
        };
        entry.notice_at = Some(now + self.limits.notice);
        let llm = self.llms.get(&entry.llm);
        let notice = match llm.and_then(|l| l.queue.iter().position(|t| *t == task)) {
            None => Notice::Running,
            Some(at) => match llm.and_then(|l| l.waking.as_ref().map(|w| (l, w))) {
                Some((llm, waking)) => Notice::Waking {
                    elapsed_secs: now.saturating_sub(waking.began) / 1000,
                    expected_secs: llm.wake_ms.map_or(llm.max_wait_secs(), |ms| ms.div_ceil(1000)),
                },
                None => Notice::Queued(at + 1),
            },
        };
        out.push(Action::Notice { task, notice });
    }

    fn wake_left(&self, task: TaskId, now: Millis) -> u64 {
        let llm = self.tasks.get(&task).and_then(|t| self.llms.get(&t.llm));
        let left = llm.and_then(|llm| {
            let began = llm.waking.as_ref()?.began;
            Some((began + llm.wake_ms?).saturating_sub(now).div_ceil(1000))
        });
        left.unwrap_or(10).clamp(1, 60)
    }

    /// Leases, deletions, tombstones. A sweep that comes late adds its own delay to every lease: a
    /// server that was stopped must not take its publishers for dead.
    pub fn sweep(&mut self, now: Millis, out: &mut Actions) {
        let gap = now.saturating_sub(self.last_sweep.unwrap_or(now));
        self.last_sweep = Some(now);
        if gap > 2 * self.limits.sweep {
            for session in self.sessions.values_mut().filter(|s| s.live) {
                session.last_seen += gap;
            }
        }
        let live = self.sessions.values().filter(|s| s.live).count();
        let expired: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, s)| s.live && now > s.last_seen + self.limits.lease)
            .map(|(key, _)| *key)
            .collect();
        if live >= DOUBT_FROM && expired.len() * 100 >= live * DOUBT_PERCENT {
            self.frozen_until = now + self.limits.freeze;
        }
        for key in &expired {
            self.expire(key, "its publisher is gone", now, out);
        }
        if self.in_grace(now) {
            return;
        }
        self.settle_unreturned(now, out);
        if now >= self.frozen_until && now >= self.started + self.limits.grace_delete {
            self.delete_old(now, out);
        }
    }

    /// After the grace of a start, what waits for publishers that have not returned fails.
    fn settle_unreturned(&mut self, now: Millis, out: &mut Actions) {
        let waiting: Vec<LlmId> =
            self.llms.iter().filter(|(_, l)| !l.queue.is_empty()).map(|(id, _)| *id).collect();
        for id in waiting {
            self.pump(&id, now, out);
        }
    }

    fn delete_old(&mut self, now: Millis, out: &mut Actions) {
        let old: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|(_, s)| !s.live && s.tasks.is_empty())
            .filter(|(_, s)| {
                let empty = s.llms.is_empty() && s.channel.is_none();
                let wait = if empty { self.limits.empty_session } else { self.limits.delete_after };
                now > s.last_seen + wait
            })
            .map(|(key, _)| *key)
            .collect();
        for key in old {
            self.end_session(&key, "its publisher is gone", now, out);
        }
        self.end_reservations(now, out);
    }

    /// The server goes down: new requests are refused, waiting ones fail, running ones go on, every
    /// channel is told.
    pub fn drain(&mut self, out: &mut Actions) {
        self.draining = true;
        for task in self.tasks.keys().copied().collect::<Vec<_>>() {
            self.reschedule(task);
        }
        for id in self.llms.keys().cloned().collect::<Vec<_>>() {
            self.fail_queue(&id, &failures::shutdown(), out);
        }
        let reconnect_after_ms = self.limits.reconnect_after;
        let mut channels: Vec<_> = self.channels.keys().copied().collect();
        channels.sort_unstable();
        out.extend(
            channels.into_iter().map(|channel| Action::Drain { channel, reconnect_after_ms }),
        );
    }
}
