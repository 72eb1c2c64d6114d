//! Reports about answers that wait for their publisher's channel. They are gathered, unlike the frames
//! of the channel's queue: a newer one replaces an older one.

use super::flow::Taken;
use crate::limits;
use parking_lot::Mutex;
use relay::TaskId;
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::Notify;
use wire::control::{Finished, TakenTask};

/// The news of one control channel.
#[derive(Default)]
pub(crate) struct News {
    gathered: Mutex<Gathered>,
    changed: Notify,
}

#[derive(Default)]
struct Gathered {
    taken: BTreeMap<TaskId, Taken>,
    finished: BTreeSet<TaskId>,
}

/// The time by which news must be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// A publisher may wait for it.
    Now,
    /// With the next event, or within [`limits::NEWS_WAIT`].
    Soon,
}

impl News {
    /// Records how far an answer was taken.
    pub(super) fn taken(&self, task: TaskId, taken: Taken) {
        self.gathered.lock().taken.insert(task, taken);
        self.changed.notify_one();
    }

    /// Records a report that an earlier channel has sent and may have lost. It goes out with the first
    /// event.
    pub(super) fn taken_before(&self, task: TaskId, taken: Taken) {
        self.gathered.lock().taken.insert(task, taken);
    }

    /// Records that the publisher may forget an answer. What is too much is lost: a heartbeat makes up
    /// for it.
    pub(super) fn finished(&self, task: TaskId) {
        let mut gathered = self.gathered.lock();
        gathered.taken.remove(&task);
        if gathered.finished.len() >= limits::FINISHED_NEWS {
            return;
        }
        if gathered.finished.insert(task) && gathered.finished.len() == 1 {
            self.changed.notify_one();
        }
    }

    /// Waits for news; returns by when they must be sent.
    pub(crate) async fn changed(&self) -> Urgency {
        self.changed.notified().await;
        let is_urgent = !self.gathered.lock().taken.is_empty();
        if is_urgent { Urgency::Now } else { Urgency::Soon }
    }

    /// Takes all news.
    pub(crate) fn take(&self) -> (Vec<TakenTask>, Option<Finished>) {
        let Gathered { taken, finished } = std::mem::take(&mut *self.gathered.lock());
        let taken = taken.into_iter().map(|(task, Taken { offset, window })| TakenTask {
            id: task.to_string(),
            offset,
            window,
        });
        let finished = (!finished.is_empty())
            .then(|| Finished { tasks: finished.iter().map(TaskId::to_string).collect() });
        (taken.collect(), finished)
    }
}
