//! Whether the books agree with each other: slots, queues, sessions, wakes and timers say the same in
//! two places each. Tests ask after every event; nobody else has to.

use crate::task::{Phase, Task};
use crate::{LlmId, Relay, TaskId};
use std::collections::{BTreeMap, BTreeSet};

impl Relay {
    /// Looks through all of it.
    ///
    /// # Errors
    /// What does not agree.
    pub fn audit(&self) -> Result<(), String> {
        self.queues()?;
        self.slots()?;
        self.members()?;
        self.sessions_and_channels()?;
        self.wakes_and_timers()
    }

    fn queues(&self) -> Result<(), String> {
        let mut waiting = BTreeSet::new();
        for (id, llm) in &self.llms {
            for task in &llm.queue {
                agree(waiting.insert(*task), || format!("{task} waits twice"))?;
                let entry = self.tasks.get(task);
                let is_here = |entry: &Task| entry.phase == Phase::Queued && entry.llm == *id;
                agree(entry.is_some_and(is_here), || format!("{task} does not wait at {id}"))?;
            }
            let most = self.limits.queue + self.limits.queue.div_ceil(4) + llm.slots() as usize;
            agree(llm.queue.len() <= most, || format!("{} wait at {id}", llm.queue.len()))?;
        }
        let queued = |(id, task): (&TaskId, &Task)| (task.phase == Phase::Queued).then_some(*id);
        let queued: BTreeSet<_> = self.tasks.iter().filter_map(queued).collect();
        agree(queued == waiting, || "a waiting task is in no queue".into())
    }

    fn slots(&self) -> Result<(), String> {
        for (id, llm) in &self.llms {
            let holds = |task: &&Task| task.llm == *id && task.phase.holds_slot();
            let held = self.tasks.values().filter(holds).count();
            agree(held == llm.running as usize, || {
                format!("{id} counts {} slots, its tasks {held}", llm.running)
            })?;
        }
        Ok(())
    }

    fn members(&self) -> Result<(), String> {
        let mut users = BTreeSet::new();
        for (id, llm) in &self.llms {
            agree(users.insert((&llm.name, &llm.owner.id)), || {
                format!("{} has two rows of the name {}", llm.owner.id, llm.name)
            })?;
            for name in llm.names() {
                let listed = self.names.get(name).is_some_and(|entry| entry.rows.contains(id));
                agree(listed, || format!("{id} is no member of its name {name}"))?;
            }
        }
        for (name, entry) in &self.names {
            let uses = |id: &LlmId| {
                self.llms.get(id).is_some_and(|llm| llm.names().any(|used| used == name))
            };
            agree(entry.rows.iter().all(uses), || format!("a member of {name} does not use it"))?;
            let kept = !entry.rows.is_empty() || entry.reserved_until.is_some();
            agree(kept, || format!("nothing uses the name {name}"))?;
        }
        let waiting = self.name_requests.values().flatten();
        for key in waiting {
            agree(self.sessions.contains_key(key), || {
                format!("{key} is gone and asks for a name")
            })?;
        }
        Ok(())
    }

    fn sessions_and_channels(&self) -> Result<(), String> {
        for (id, llm) in &self.llms {
            let session = self.sessions.get(&llm.session);
            let listed = session.is_some_and(|s| s.llms.contains(id) && s.owner.id == llm.owner.id);
            agree(listed, || format!("{id} is none of its session's rows"))?;
        }
        for (key, session) in &self.sessions {
            let rows = session.llms.iter().all(|id| self.llms.contains_key(id));
            agree(rows, || format!("{key} lists a row that is gone"))?;
            let tasks = |task: &TaskId| {
                self.tasks.get(task).is_some_and(|t| t.session.as_ref() == Some(key))
            };
            agree(session.tasks.iter().all(tasks), || format!("{key} lists a foreign task"))?;
            let leads = |channel| self.channels.get(channel) == Some(key);
            agree(session.channel.iter().all(leads), || format!("{key}'s channel leads away"))?;
        }
        for (channel, key) in &self.channels {
            let open = self.sessions.get(key).is_some_and(|s| s.channel == Some(*channel));
            agree(open, || format!("channel {} belongs to nobody", channel.0))?;
        }
        Ok(())
    }

    fn wakes_and_timers(&self) -> Result<(), String> {
        let waking = self.llms.iter().filter_map(|(id, l)| Some((l.waking.as_ref()?, id)));
        let of_rows: BTreeMap<_, _> = waking.map(|(wake, id)| (wake.task, *id)).collect();
        let known: BTreeMap<_, _> = self.wakes.clone().into_iter().collect();
        agree(of_rows == known, || "wakes and rows do not agree".into())?;
        let of_tasks = self.tasks.iter().filter_map(|(id, task)| Some((task.due?, *id)));
        let of_wakes =
            self.llms.values().filter_map(|l| l.waking.as_ref().map(|w| (w.until, w.task)));
        let wanted: BTreeSet<_> = of_tasks.chain(of_wakes).collect();
        agree(wanted == self.timers, || "timers are not those of tasks and wakes".into())
    }
}

fn agree(right: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if right { Ok(()) } else { Err(why()) }
}
