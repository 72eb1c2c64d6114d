//! Aborts a run that makes no progress. A deadline that changes nothing would be due again for ever,
//! and the test would hang without a message. This is the only real clock here; runs do not see it.

use std::fmt::Debug;
use std::io::Write as _;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Longest time in one position. An event takes microseconds, and hours of simulated time milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Watches a run's position until it is dropped.
pub(crate) struct HangDetector<P> {
    position: Arc<Mutex<P>>,
    /// The sender is dropped to end the thread, before the thread is joined.
    running: Option<(SyncSender<()>, JoinHandle<()>)>,
}

impl<P: Copy + Debug + PartialEq + Send + 'static> HangDetector<P> {
    /// Starts watching a run at this position.
    pub(crate) fn start(position: P) -> Self {
        let position = Arc::new(Mutex::new(position));
        let (running, ended) = mpsc::sync_channel(0);
        let current = Arc::clone(&position);
        let thread = thread::spawn(move || {
            let mut before = None;
            while ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let now = *current.lock().unwrap_or_else(PoisonError::into_inner);
                if before == Some(now) {
                    abort_at(&now);
                }
                before = Some(now);
            }
        });
        Self { position, running: Some((running, thread)) }
    }

    /// Records the run's position.
    pub(crate) fn moved_to(&self, position: P) {
        *self.position.lock().unwrap_or_else(PoisonError::into_inner) = position;
    }
}

impl<P> Drop for HangDetector<P> {
    fn drop(&mut self) {
        if let Some((running, thread)) = self.running.take() {
            drop(running);
            // A hang was already reported by the thread itself.
            let _ = thread.join();
        }
    }
}

/// Not by an error or a panic: the thread that could receive it is the one that hangs. Not by
/// `eprintln`: the test harness would hold its output back until the test has ended.
fn abort_at(position: &impl Debug) -> ! {
    let _ = writeln!(std::io::stderr(), "no progress for {PATIENCE:?} at {position:?}");
    std::process::abort()
}
