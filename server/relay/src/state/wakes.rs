//! Wakes under way: at most one per LLM.

use super::id_map::IdMap;
use crate::{LlmId, Millis, TaskId};
use std::collections::BTreeSet;

/// A wake under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wake {
    /// The wake's own task id.
    pub(crate) task: TaskId,
    pub(crate) began: Millis,
    /// It has failed if it is not over then.
    pub(crate) until: Millis,
}

/// All wakes under way.
#[derive(Debug, Default)]
pub(crate) struct Wakes {
    by_llm: IdMap<LlmId, Wake>,
    llms: IdMap<TaskId, LlmId>,
    timers: BTreeSet<(Millis, TaskId)>,
}

impl Wakes {
    /// The wake of an LLM.
    pub(crate) fn of(&self, llm: LlmId) -> Option<&Wake> {
        self.by_llm.get(&llm)
    }

    /// The LLM that a task wakes.
    pub(crate) fn llm(&self, task: TaskId) -> Option<LlmId> {
        self.llms.get(&task).copied()
    }

    /// The LLMs that are being woken.
    pub(crate) fn llms(&self) -> impl Iterator<Item = LlmId> {
        self.by_llm.keys().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_llm.len()
    }

    /// Starts a wake in place of the one under way.
    pub(crate) fn start(&mut self, llm: LlmId, wake: Wake) {
        self.end(llm);
        self.timers.insert((wake.until, wake.task));
        self.llms.insert(wake.task, llm);
        self.by_llm.insert(llm, wake);
    }

    /// Forgets the wake of an LLM.
    pub(crate) fn end(&mut self, llm: LlmId) {
        if let Some(wake) = self.by_llm.remove(&llm) {
            self.llms.remove(&wake.task);
            self.timers.remove(&(wake.until, wake.task));
        }
    }

    /// The earliest time by which a wake must be over.
    pub(crate) fn first_timer(&self) -> Option<(Millis, TaskId)> {
        self.timers.first().copied()
    }
}
