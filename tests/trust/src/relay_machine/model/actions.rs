//! What the relay wants done.

use super::replies::is_for;
use super::{Model, RowKey, Task, Verdict, check};
use crate::relay_machine::publishers::TWO_SLOTS;
use relay::{Action, ChannelId, Dispatch, TaskId};
use wire::publisher::ReportedStatus;

impl Model {
    pub(in crate::relay_machine) fn action(&mut self, action: &Action) -> Verdict {
        match action {
            Action::Dispatch(sent) => self.is_sent(sent),
            Action::Wake { channel, task, llm_name, .. } => {
                let (row, _) = self.open_row(*channel, llm_name)?;
                check(llm_name != "a", || "a has no recipe".into())
                    .or_else(|_| self.was_declared_asleep(&row))?;
                self.wakes.push_back((*task, row));
                Ok(())
            }
            Action::Cancel { channel, task, .. } => {
                check(self.channels.contains_key(channel), || "a cancel into a dead end".into())?;
                check(self.task(*task).is_some_and(|t| !t.sent_to.is_empty()), || {
                    format!("{task} is cancelled where it never was")
                })
            }
            Action::Fail { task, .. } => self.fails(*task),
            Action::Notice { task, .. } => {
                let entry = self.task_mut(*task)?;
                check(entry.notices && !entry.over && !entry.delivered, || {
                    format!("{task} is told how things stand for no reason")
                })
            }
            Action::StopUpload { task } => {
                if let Some(told) = &mut self.task_mut(*task)?.upload {
                    *told = true;
                }
                Ok(())
            }
            Action::Forget { task } => {
                let entry = self.task_mut(*task)?;
                check(entry.over && !entry.forgotten, || format!("{task} is forgotten too early"))?;
                entry.forgotten = true;
                Ok(())
            }
            Action::CloseChannel { channel, .. } => {
                self.closed(*channel);
                Ok(())
            }
            Action::Drain { channel, .. } => {
                let open = self.channels.contains_key(channel);
                check(open && self.draining, || "a drain for nobody".into())
            }
            Action::SaveLlm(_)
            | Action::SaveSession(_)
            | Action::SaveName(_)
            | Action::Withdrawn { .. } => Ok(()),
        }
    }

    fn is_sent(&mut self, sent: &Dispatch) -> Verdict {
        let (key, session) = self.open_row(sent.channel, &sent.llm_name)?;
        let epoch = self.sessions.get(&session).map(|session| session.epoch);
        check(epoch == Some(sent.epoch), || "sent with another epoch".into())?;
        let row = self.rows.get(&key).map(|row| row.id.clone()).unwrap_or_default();
        self.overtakes_none(sent, &row)?;
        let most = 1 + self.limits.redispatch;
        let task = self.task_mut(sent.task)?;
        task.dispatches += 1;
        check(!task.over, || format!("{} is sent after its end", sent.task))?;
        check(!task.delivered, || format!("{} is sent after its first byte", sent.task))?;
        check(task.dispatches <= most, || format!("{} is sent too often", sent.task))?;
        let allowed = task.allowed.as_ref();
        check(allowed.is_some_and(|key_of| is_for(&task.wanted, key_of, &key)), || {
            format!("{} goes to {key:?}, or beyond its key", sent.task)
        })?;
        task.sent_to.insert(session.clone());
        task.sent_last = Some(session);
        task.row = Some(row.clone());
        if task.dispatches == 1 {
            let before = self.latest.insert(row, sent.task);
            check(before < Some(sent.task), || format!("{} was overtaken", sent.task))?;
        }
        Ok(())
    }

    /// What is to be sent again goes before all that waits behind it. Where one runs at a time, another
    /// that was sent there and is not over can only be waiting again.
    fn overtakes_none(&self, sent: &Dispatch, row: &str) -> Verdict {
        let mut tasks = (0..).map(TaskId).zip(&self.tasks);
        let waits = |(id, task): &(TaskId, &Task)| {
            let here = task.wanted == sent.llm_name && task.row.as_deref() == Some(row);
            // With several members it may have gone to another one to wait there.
            *id != sent.task && here && !task.over && self.is_alone(&sent.llm_name)
        };
        let other = tasks.find(waits).filter(|_| sent.llm_name != TWO_SLOTS).map(|(id, _)| id);
        check(other.is_none(), || format!("{} overtakes {other:?}, which was sent", sent.task))
    }

    fn is_alone(&self, name: &str) -> bool {
        self.rows.keys().filter(|row| row.0 == name).count() == 1
    }

    /// The row that a frame down this channel is for, and its session.
    fn open_row(&self, channel: ChannelId, name: &str) -> Result<(RowKey, String), String> {
        let session = self.channels.get(&channel).ok_or("a frame into a dead end")?;
        let row =
            self.rows.iter().find(|((known, _), row)| known == name && row.session == *session);
        let (key, _) = row.ok_or(format!("{name} is not published there any more"))?;
        Ok((key.clone(), session.clone()))
    }

    fn was_declared_asleep(&self, row: &RowKey) -> Verdict {
        let asleep = self.rows.get(row).map(|row| row.reported);
        check(asleep == Some(ReportedStatus::Hibernating), || format!("{row:?} is not asleep"))
    }

    fn fails(&mut self, task: TaskId) -> Verdict {
        let entry = self.task_mut(task)?;
        check(!entry.over, || format!("{task} ends twice"))?;
        entry.over = true;
        Ok(())
    }
}
