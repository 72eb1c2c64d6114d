//! The waiting tasks of one LLM, and its slots in use.

use crate::TaskId;
use std::collections::VecDeque;

/// Waiting tasks in order of arrival. A task that is sent again goes to the front.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<TaskId>,
    running: u32,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = TaskId> {
        self.waiting.iter().copied()
    }

    /// Tasks that hold a slot.
    pub(super) fn running(&self) -> u32 {
        self.running
    }

    /// True if nothing waits or runs.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running == 0
    }

    pub(super) fn push_back(&mut self, task: TaskId) {
        self.waiting.push_back(task);
    }

    pub(super) fn push_front(&mut self, task: TaskId) {
        self.waiting.push_front(task);
    }

    /// Moves the first waiting task into a slot.
    pub(super) fn start_first(&mut self) -> Option<TaskId> {
        let task = self.waiting.pop_front()?;
        self.running += 1;
        Some(task)
    }

    /// Removes a waiting task.
    pub(super) fn leave(&mut self, task: TaskId) {
        if self.waiting.front() == Some(&task) {
            self.waiting.pop_front();
        } else {
            self.waiting.retain(|waiting| *waiting != task);
        }
    }

    /// Gives a slot back.
    pub(super) fn release_slot(&mut self) {
        self.running = self.running.saturating_sub(1);
    }
}
