//! Every task, the queue in which it waits or the slot that it holds, and its next deadline.

use super::id_map::IdMap;
use super::queue::Queue;
use super::{NewTask, Phase, Task};
use crate::{LlmId, Millis, SessionId, TaskId};
use std::collections::BTreeSet;

/// All tasks. A queued task waits in its LLM's queue; any other holds a slot of its LLM and is listed
/// under the session that it was sent to. Each has at most one timer.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    tasks: IdMap<TaskId, Task>,
    queues: IdMap<LlmId, Queue>,
    by_session: IdMap<SessionId, BTreeSet<TaskId>>,
    timers: BTreeSet<(Millis, TaskId)>,
}

/// The session to which a task is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) session: SessionId,
    pub(crate) speaks_v2: bool,
    pub(crate) now: Millis,
}

impl Tasks {
    pub(crate) fn get(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: TaskId) -> Option<&mut Task> {
        self.tasks.get_mut(&id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (TaskId, &Task)> {
        self.tasks.iter().map(|(id, task)| (*id, task))
    }

    /// Number of waiting tasks.
    pub(crate) fn waiting_count(&self) -> usize {
        self.queues.values().map(Queue::len).sum()
    }

    /// Number of tasks that hold a slot.
    pub(crate) fn running_count(&self) -> usize {
        self.tasks.len() - self.waiting_count()
    }

    /// The tasks that wait for an LLM, in order.
    pub(crate) fn waiting(&self, llm: LlmId) -> impl Iterator<Item = TaskId> {
        self.queues.get(&llm).into_iter().flat_map(Queue::iter)
    }

    /// Number of tasks that wait for an LLM.
    pub(crate) fn queue_len(&self, llm: LlmId) -> usize {
        self.queues.get(&llm).map_or(0, Queue::len)
    }

    /// The LLMs for which tasks wait.
    pub(crate) fn awaited(&self) -> BTreeSet<LlmId> {
        let awaited = self.queues.iter().filter(|(_, queue)| queue.len() > 0);
        awaited.map(|(llm, _)| *llm).collect()
    }

    /// Slots of an LLM in use.
    pub(crate) fn running(&self, llm: LlmId) -> u32 {
        self.queues.get(&llm).map_or(0, Queue::running)
    }

    /// The tasks that a session was sent and that hold a slot.
    pub(crate) fn of_session(&self, session: SessionId) -> BTreeSet<TaskId> {
        self.by_session.get(&session).cloned().unwrap_or_default()
    }

    /// True if the session was sent a task that holds a slot.
    pub(crate) fn is_busy(&self, session: SessionId) -> bool {
        self.by_session.get(&session).is_some_and(|sent| !sent.is_empty())
    }

    /// Adds a task of a fresh id to the end of an LLM's queue.
    pub(crate) fn enqueue(&mut self, id: TaskId, llm: LlmId, new: NewTask, now: Millis) {
        self.tasks.insert(id, Task::queued(llm, new, now));
        self.queues.entry(llm).or_default().push_back(id);
    }

    /// Moves the first task of an LLM's queue into a slot.
    pub(crate) fn start_first(&mut self, llm: LlmId, start: Start) -> Option<TaskId> {
        let id = self.queues.get_mut(&llm)?.start_first()?;
        let task = self.tasks.get_mut(&id)?;
        // A protocol-1 publisher never acknowledges: what was sent counts as taken.
        task.phase = if start.speaks_v2 { Phase::Dispatched } else { Phase::Accepted };
        task.speaks_v2 = start.speaks_v2;
        task.session = Some(start.session);
        task.dispatched_at = start.now;
        task.return_by = None;
        task.mark_seen(start.now);
        self.by_session.entry(start.session).or_default().insert(id);
        Some(id)
    }

    /// Gives a task's slot back and puts it to the front of an LLM's queue.
    pub(crate) fn requeue(&mut self, id: TaskId, llm: LlmId, now: Millis) {
        self.leave_place(id);
        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.phase = Phase::Queued;
        task.llm = llm;
        task.session = None;
        task.queued_at = now;
        task.redispatched += 1;
        self.queues.entry(llm).or_default().push_front(id);
    }

    /// Lets the wait of an LLM's queued tasks count from now.
    pub(crate) fn restart_wait(&mut self, llm: LlmId, now: Millis) {
        for id in self.queues.get(&llm).into_iter().flat_map(Queue::iter) {
            if let Some(task) = self.tasks.get_mut(&id) {
                task.queued_at = now;
            }
        }
    }

    /// The publisher of an LLM has returned: its queued tasks wait for a slot and not for it.
    pub(crate) fn publisher_returned(&mut self, llm: LlmId) {
        for id in self.queues.get(&llm).into_iter().flat_map(Queue::iter) {
            if let Some(task) = self.tasks.get_mut(&id) {
                task.return_by = None;
            }
        }
    }

    /// The publisher has the task.
    pub(crate) fn accept(&mut self, id: TaskId) {
        if let Some(task) = self.tasks.get_mut(&id)
            && task.phase == Phase::Dispatched
        {
            task.phase = Phase::Accepted;
        }
    }

    /// The publisher answers.
    pub(crate) fn begin_answer(&mut self, id: TaskId) {
        if let Some(task) = self.tasks.get_mut(&id)
            && matches!(task.phase, Phase::Dispatched | Phase::Accepted)
        {
            task.phase = Phase::Answering;
        }
    }

    /// A task that holds a slot is over for its caller. It keeps the slot.
    pub(crate) fn end(&mut self, id: TaskId, now: Millis) {
        if let Some(task) = self.tasks.get_mut(&id)
            && task.phase != Phase::Queued
        {
            task.phase = Phase::Ended;
            task.ended_at = now;
        }
    }

    /// Forgets a task, wherever it waits or runs; false if there was none.
    pub(crate) fn remove(&mut self, id: TaskId) -> bool {
        self.leave_place(id);
        let Some(task) = self.tasks.remove(&id) else { return false };
        if let Some(due) = task.due {
            self.timers.remove(&(due, id));
        }
        true
    }

    /// Takes a task out of its queue or its slot.
    fn leave_place(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get(&id) else { return };
        if let Some(queue) = self.queues.get_mut(&task.llm) {
            match task.phase {
                Phase::Queued => queue.leave(id),
                Phase::Dispatched | Phase::Accepted | Phase::Answering | Phase::Ended => {
                    queue.release_slot();
                }
            }
        }
        if let Some(session) = task.session
            && let Some(listed) = self.by_session.get_mut(&session)
        {
            listed.remove(&id);
        }
    }

    /// Frees the memory of queues and sessions that have no tasks. They are not removed at once,
    /// because the next request would allocate them again.
    pub(crate) fn prune(&mut self) {
        self.queues.retain(|_, queue| !queue.is_idle());
        self.by_session.retain(|_, sent| !sent.is_empty());
    }

    /// Sets a task's next deadline.
    pub(crate) fn schedule(&mut self, id: TaskId, due: Option<Millis>) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        if task.due == due {
            return;
        }
        if let Some(before) = std::mem::replace(&mut task.due, due) {
            self.timers.remove(&(before, id));
        }
        if let Some(when) = due {
            self.timers.insert((when, id));
        }
    }

    /// The earliest deadline.
    pub(crate) fn first_timer(&self) -> Option<(Millis, TaskId)> {
        self.timers.first().copied()
    }
}
