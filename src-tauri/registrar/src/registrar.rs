//! The registrar: publishes what the folder's configuration says until it is stopped. Whether this
//! process may do so is [`crate::leader`]'s question.

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
    /// Starts it; `config` is followed for as long as it runs, and `program` is how it calls itself
    /// in the status.
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
        let (reconnect, beat) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let board = Arc::new(watch::Sender::new(Status {
            pid: std::process::id(),
            program: program.to_owned(),
            ..Status::default()
        }));
        end_pause(&home);
        let backends = Backends::new(&home, times, Arc::clone(&board), Arc::clone(&beat))?;
        let tasks = RunningTasks::new(Arc::clone(&board));
        let takeover = Arc::new(AtomicBool::new(false));
        let driver = Driver {
            home,
            keychain,
            config,
            backends,
            tasks: Arc::clone(&tasks),
            board: Arc::clone(&board),
            times,
            stop: stop.clone(),
            reconnect: Arc::clone(&reconnect),
            beat,
            name_requests: Vec::new(),
            takeover: Arc::clone(&takeover),
        };
        let driver = tokio::spawn(driver.run());
        Ok(Self { status: board.subscribe(), stop, reconnect, takeover, tasks, driver })
    }

    /// What people should see, always up to date.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Does what another process of the same person asks for, or a window of this one.
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

    /// Says goodbye, lets running answers end for a few seconds, and leaves nothing behind.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = self.driver.await;
    }
}

/// A pause until the next start ends with it.
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
