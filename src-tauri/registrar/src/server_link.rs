//! The server, as the tasks of one registration reach it.

use crate::limits;
use crate::mcpd_client::{McpdClient, SessionRef};
use crate::transport::{Transport, UploadMode};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use wire::publisher::{TaskFailure, TaskResult};

/// Client, session and modes of one registration.
pub(crate) struct ServerLink {
    pub(crate) mcpd: McpdClient,
    pub(crate) session: SessionRef,
    transport: Mutex<Transport>,
    /// Log lines about invalid messages of the server.
    pub(crate) log_budget: LogBudget,
}

impl ServerLink {
    pub(crate) fn new(mcpd: McpdClient, session: SessionRef) -> Self {
        let transport = Mutex::new(Transport::new(session.speaks_v2()));
        Self { mcpd, session, transport, log_budget: LogBudget::default() }
    }

    /// The modes in force.
    pub(crate) fn transport(&self) -> Transport {
        *self.transport.lock()
    }

    /// Changes the modes.
    pub(crate) fn change_transport(&self, change: impl FnOnce(&mut Transport)) {
        change(&mut self.transport.lock());
    }

    /// How responses are sent.
    pub(crate) fn upload_mode(&self) -> UploadMode {
        self.transport().upload()
    }

    /// Reports the failure of a wake, or of any task of a protocol-1 server.
    pub(crate) async fn report_failure(&self, task: &str, failure: TaskFailure) {
        let result = TaskResult { error: Some(failure), ..TaskResult::default() };
        self.mcpd.result(&self.session, task, &result).await;
    }
}

/// Number of lines that one registration may still log, so that a server cannot fill the log.
pub(crate) struct LogBudget(AtomicUsize);

impl Default for LogBudget {
    fn default() -> Self {
        Self(AtomicUsize::new(limits::LOG_BUDGET))
    }
}

impl LogBudget {
    /// Logs a line unless the budget is used up.
    pub(crate) fn log(&self, line: impl FnOnce()) {
        let one_less = |left: usize| left.checked_sub(1);
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less) {
            Ok(1) => {
                line();
                tracing::warn!("further such lines are left out until the next registration");
            }
            Ok(_) => line(),
            Err(_) => {}
        }
    }
}
