//! Checks that the records agree with each other where their types cannot ensure it. For tests.

use crate::state::{Phase, Task};
use crate::{Relay, TaskId};
use std::collections::BTreeSet;

impl Relay {
    /// Checks every record against the others.
    ///
    /// # Errors
    /// A sentence about the first disagreement.
    pub fn check_consistency(&self) -> Result<(), String> {
        self.check_entries()?;
        self.check_names()?;
        self.check_tasks()?;
        self.check_wakes()
    }

    fn check_entries(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for (id, entry) in self.catalogue.iter() {
            let owner = &entry.owner().id;
            check(seen.insert((entry.name(), owner)), || {
                format!("{owner} has two entries of the name {}", entry.name())
            })?;
            check(self.sessions.is_owned(entry.session(), owner), || {
                format!("{id} is published by a session that its owner does not have")
            })?;
            let holds_slot = |task: &Task| task.llm() == id && task.phase() != Phase::Queued;
            let held = self.tasks.iter().filter(|(_, task)| holds_slot(task)).count();
            let running = self.tasks.running(id);
            check(held == running as usize, || {
                format!("{id} counts {running} slots, its tasks {held}")
            })?;
            let (waiting, slots) = (self.tasks.queue_len(id), entry.slots() as usize);
            let most = self.limits.queue + self.limits.queue.div_ceil(4) + slots;
            check(waiting <= most, || format!("{waiting} wait at {id}"))?;
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), String> {
        for (name, entry) in self.catalogue.names() {
            let is_kept = !entry.members().is_empty() || entry.reserved_until().is_some();
            check(is_kept, || format!("no entry uses the name {name}, and it is not reserved"))?;
        }
        Ok(())
    }

    fn check_tasks(&self) -> Result<(), String> {
        for llm in self.tasks.awaited() {
            check(self.catalogue.contains(llm), || format!("tasks wait for {llm}, which is gone"))?;
        }
        for (id, task) in self.tasks.iter() {
            self.check_task(id, task)?;
        }
        Ok(())
    }

    fn check_task(&self, id: TaskId, task: &Task) -> Result<(), String> {
        let waits = self.tasks.waiting(task.llm()).filter(|waiting| *waiting == id).count();
        let is_queued = task.phase() == Phase::Queued;
        check(waits == usize::from(is_queued), || format!("{id} stands in {waits} queues"))?;
        let session = task.session().and_then(|session| self.sessions.get(session));
        check(is_queued || session.is_some(), || format!("{id} runs at a session that is gone"))
    }

    fn check_wakes(&self) -> Result<(), String> {
        for llm in self.wakes.llms() {
            check(self.catalogue.contains(llm), || format!("{llm} is being woken and gone"))?;
        }
        Ok(())
    }
}

fn check(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}
