//! Obeys the events of the control channel.

use super::connection::Connection;
use super::upload_probe::UploadProbe;
use crate::clock::unix_ms;
use crate::protocol1;
use crate::reconnect_policy::{self, Ending};
use crate::server_text;
use crate::status::{ConnectionState, RunningTask};
use crate::task::{self, Route};
use crate::task_failure::failure;
use crate::uplink::task_number;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::control::{
    Cancel, Drain, Finished, Hello, InferTask, Probe, Revoked, Taken, Task, event,
};
use wire::publisher::FailureCode;
use wire::sse::{Event, TooLong};

impl Connection<'_> {
    /// Obeys one event; returns an ending if it ends the connection.
    pub(super) fn obey(&mut self, event: &Event) -> Option<Ending> {
        let data = event.data.as_str();
        match event.name.as_str() {
            event::HELLO => self.apply_hello(&self.parse::<Hello>(data)?),
            name if protocol1::is_task(name) => self.start_task(data)?,
            event::CANCEL => {
                let cancel = self.parse::<Cancel>(data)?;
                self.driver.tasks.cancel(&cancel.task_id);
            }
            event::PROBE => {
                let confirmed = self.parse::<Probe>(data)?;
                if let Some(probe) = &mut self.probe {
                    probe.confirm(&confirmed.id);
                }
            }
            event::TAKEN => {
                let taken = self.parse::<Taken>(data)?;
                self.driver.tasks.answers().taken(&taken.tasks);
            }
            event::FINISHED => {
                let finished = self.parse::<Finished>(data)?;
                finished.tasks.iter().for_each(|id| self.driver.tasks.finished(id));
            }
            event::DRAIN => {
                let drain = self.parse::<Drain>(data)?;
                self.drain = Some(Duration::from_millis(drain.reconnect_after_ms));
            }
            event::SUPERSEDED => return Some(Ending::Superseded),
            event::REVOKED => {
                let reason = self.parse::<Revoked>(data).unwrap_or_default().reason;
                return Some(Ending::Revoked(server_text::clean(&reason)));
            }
            _ => {}
        }
        None
    }

    /// Reports an event that was too long to the server if it was a task, so that its caller does not
    /// wait in vain.
    pub(super) fn report_too_long(&self, event: &TooLong) {
        self.link.log_budget.log(|| tracing::warn!("{event}: it was left out"));
        let is_task = protocol1::is_task(&event.name);
        let Some(id) = server_text::task_id_in(&event.prefix).filter(|_| is_task) else { return };
        let failure = failure(FailureCode::RequestTooLarge, event.to_string());
        if !self.link.session.speaks_v2() {
            let (link, task) = (Arc::clone(&self.link), id.clone());
            let report = async move { link.report_failure(&task, failure).await };
            self.driver.tasks.attach(&id, report);
        } else if let Some(answer) = task_number(&id) {
            self.driver.tasks.refuse(&id, answer, &failure);
        }
    }

    /// Shows that the connection is up, and how events and responses travel.
    pub(super) fn set_online(&mut self) {
        self.policy.online(Instant::now());
        let transport = self.link.transport();
        let (channel, upload) = (transport.channel().as_str(), transport.upload().as_str());
        let is_leaving = self.is_leaving;
        self.driver.status.send_modify(|status| {
            status.channel = Some(channel.into());
            status.upload = Some(upload.into());
            if !is_leaving && !matches!(status.connection, ConnectionState::Online { .. }) {
                status.connection = ConnectionState::Online { since: unix_ms() };
                tracing::info!(channel, "online");
            }
        });
    }

    fn apply_hello(&mut self, hello: &Hello) {
        if hello.heartbeat_seconds > 0 {
            let (times, seconds) = (&self.driver.times, hello.heartbeat_seconds);
            self.heartbeat = reconnect_policy::heartbeat_period(times, seconds);
        }
        if self.link.transport().needs_upload_probe() {
            self.probe = Some(UploadProbe::start(&self.link, self.driver.times.probe));
        }
        self.set_online();
    }

    /// Starts the task of an event; `None` if the event cannot be parsed.
    fn start_task(&self, data: &str) -> Option<()> {
        let Some(task) = server_text::checked_task(self.usable(Task::read(data))?) else {
            return self.ignore_task();
        };
        let (link, backends) = (Arc::clone(&self.link), Arc::clone(&self.driver.backends));
        let tasks = &self.driver.tasks;
        let started = match task {
            Task::Wake(task) => {
                let id = task.task_id.clone();
                tasks.attach(&id, task::wake(link, backends, task))
            }
            Task::Infer(task) if !link.session.speaks_v2() => {
                tasks.start(shown(&task), None, |stop| {
                    task::infer(link, backends, Route::Results, task, stop)
                })
            }
            Task::Infer(task) => {
                let Some(answer) = task_number(&task.task_id) else { return self.ignore_task() };
                let route = Route::Uplink(Arc::clone(tasks.answers()), answer);
                tasks.start(shown(&task), Some(answer), |stop| {
                    task::infer(link, backends, route, task, stop)
                })
            }
        };
        if !started {
            let line = || tracing::warn!("a task was not taken: it runs already, or too many do");
            self.link.log_budget.log(line);
        }
        Some(())
    }

    fn ignore_task(&self) -> Option<()> {
        let line = || tracing::warn!("a task was ignored: its id is no task's id");
        self.link.log_budget.log(line);
        Some(())
    }

    /// Parses an event. An invalid one is ignored, and its content is not logged.
    fn parse<T: DeserializeOwned>(&self, data: &str) -> Option<T> {
        self.usable(serde_json::from_str(data))
    }

    fn usable<T>(&self, parsed: serde_json::Result<T>) -> Option<T> {
        let log = |error: &serde_json::Error| {
            let column = error.column();
            let line = || tracing::warn!(column, "an event is not usable");
            self.link.log_budget.log(line);
        };
        parsed.inspect_err(log).ok()
    }
}

/// The task as the status shows it.
fn shown(task: &InferTask) -> RunningTask {
    RunningTask {
        task_id: task.task_id.clone(),
        llm: task.llm_name.clone(),
        path: task.path.clone().unwrap_or_default(),
        started: unix_ms(),
        user: task.user.clone(),
    }
}
