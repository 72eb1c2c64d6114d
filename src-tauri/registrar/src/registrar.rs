//! The registrar: publishes what the folder's configuration says until it is stopped.
//! [`crate::leader`] decides whether this process may do so.

use crate::backends::Backends;
use crate::config;
use crate::config::edit::Edit;
use crate::config::settings::PausedUntil;
use crate::config_watch::Snapshot;
use crate::control_files::ControlRequest;
use crate::driver::Driver;
use crate::home::Home;
use crate::limits::Times;
use crate::running_tasks::RunningTasks;
use crate::status::Status;
use keychain::Keychain;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running registrar.
pub struct Registrar {
    status: watch::Receiver<Status>,
    stop: CancellationToken,
    reconnect: Arc<Notify>,
    takeover: Arc<AtomicBool>,
    tasks: Arc<RunningTasks>,
    driver: JoinHandle<()>,
}

impl Registrar {
    /// Starts publishing and follows `config`. `program` is the name of this program in the status.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn start(
        home: Home,
        keychain: Keychain,
        config: watch::Receiver<Arc<Snapshot>>,
        program: &str,
    ) -> Result<Self, String> {
        let times = Times::from_env();
        let stop = CancellationToken::new();
        let (reconnect, heartbeat_now) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let status = Arc::new(watch::Sender::new(Status {
            pid: std::process::id(),
            program: program.to_owned(),
            ..Status::default()
        }));
        end_pause(&home);
        let backends =
            Backends::new(&home, times, Arc::clone(&status), Arc::clone(&heartbeat_now))?;
        let tasks = RunningTasks::new(Arc::clone(&status));
        let takeover = Arc::new(AtomicBool::new(false));
        let driver = Driver {
            home,
            keychain,
            config,
            backends,
            tasks: Arc::clone(&tasks),
            status: Arc::clone(&status),
            times,
            stop: stop.clone(),
            reconnect: Arc::clone(&reconnect),
            heartbeat_now,
            name_requests: Vec::new(),
            takeover: Arc::clone(&takeover),
            uplink: None,
            lost_since: None,
        };
        let driver = tokio::spawn(driver.run());
        Ok(Self { status: status.subscribe(), stop, reconnect, takeover, tasks, driver })
    }

    /// The live status.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Performs a control request of another process or of this one's window.
    pub fn perform(&self, request: &ControlRequest) {
        match request {
            ControlRequest::Reconnect => self.reconnect.notify_one(),
            ControlRequest::TakeOver => {
                tracing::info!("the session is taken over from wherever it is held");
                self.takeover.store(true, Ordering::Relaxed);
                self.reconnect.notify_one();
            }
            ControlRequest::Stop { task } => {
                if self.tasks.stop(task) {
                    tracing::info!(task, "stopped by its owner");
                }
            }
        }
    }

    /// Withdraws everything, lets running requests end for a few seconds, and ends the rest.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = self.driver.await;
    }
}

/// Ends a pause that lasts until the next start.
fn end_pause(home: &Home) {
    let text = config::file::read(&home.config()).unwrap_or_default();
    let paused = config::parse(&text).ok().and_then(|read| read.config.settings.paused_until);
    if paused != Some(PausedUntil::Restart) {
        return;
    }
    let keys = [("pausedUntil".to_owned(), serde_json::Value::Null)].into_iter().collect();
    if let Err(error) = config::file::apply(home, &Edit::ChangeSettings(keys)) {
        tracing::warn!(%error, "the pause of the last run could not be ended");
    }
}
