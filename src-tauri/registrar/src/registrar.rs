//! The registrar: publishes what the folder's configuration says until it is stopped. Whether this
//! process may do so is [`crate::host`]'s question.

use crate::backends::Backends;
use crate::client;
use crate::driver::Driver;
use crate::home::Home;
use crate::limits::Times;
use crate::status::Status;
use crate::tasks::Tasks;
use crate::watch as config_watch;
use keychain::Keychain;
use std::sync::Arc;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running registrar.
pub struct Registrar {
    status: watch::Receiver<Status>,
    stop: CancellationToken,
    reconnect: Arc<Notify>,
    driver: JoinHandle<()>,
    watcher: JoinHandle<()>,
}

impl Registrar {
    /// Starts it; `program` is how it calls itself in the status.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn start(home: Home, keychain: Keychain, program: &str) -> Result<Self, String> {
        let http = client::backend_client()?;
        let times = Times::from_env();
        let stop = CancellationToken::new();
        let (reconnect, beat) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let board = Arc::new(watch::Sender::new(Status {
            pid: std::process::id(),
            program: program.to_owned(),
            ..Status::default()
        }));
        let watching = CancellationToken::new();
        let (config, watcher) = config_watch::start(&home, watching.clone());
        let driver = Driver {
            home,
            keychain,
            config,
            backends: Backends::new(http, times, Arc::clone(&board), Arc::clone(&beat)),
            tasks: Tasks::new(Arc::clone(&board)),
            board: Arc::clone(&board),
            times,
            stop: stop.clone(),
            reconnect: Arc::clone(&reconnect),
            beat,
        };
        let driver = tokio::spawn(async move {
            let _end_watching = watching.drop_guard();
            driver.run().await;
        });
        Ok(Self { status: board.subscribe(), stop, reconnect, driver, watcher })
    }

    /// What people should see, always up to date.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Connects now instead of at the end of a delay.
    pub fn reconnect(&self) {
        self.reconnect.notify_one();
    }

    /// Says goodbye, lets running answers end for a few seconds, and leaves nothing behind.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = self.driver.await;
        let _ = self.watcher.await;
    }
}
