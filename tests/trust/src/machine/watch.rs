//! Somebody beside a run who looks whether it moves. A deadline that changes nothing would be due again
//! for ever, and the test would hang without a word; this ends it with one. The only real clock here,
//! and no run can see it.

use std::fmt::Debug;
use std::io::Write as _;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// An event takes microseconds, and a night of them milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

/// Looks until it is dropped.
pub(crate) struct Watch<P> {
    place: Arc<Mutex<P>>,
    /// Dropped to end it, which is before it is waited for.
    running: Option<(SyncSender<()>, JoinHandle<()>)>,
}

impl<P: Copy + Debug + PartialEq + Send + 'static> Watch<P> {
    /// Of a run that stands here.
    pub(crate) fn begin(place: P) -> Self {
        let place = Arc::new(Mutex::new(place));
        let (running, ended) = mpsc::sync_channel(0);
        let seen = Arc::clone(&place);
        let thread = thread::spawn(move || {
            let mut before = None;
            while ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let now = *seen.lock().unwrap_or_else(PoisonError::into_inner);
                if before == Some(now) {
                    stands_still(&now);
                }
                before = Some(now);
            }
        });
        Self { place, running: Some((running, thread)) }
    }

    /// The run is here now.
    pub(crate) fn at(&self, place: P) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = place;
    }
}

impl<P> Drop for Watch<P> {
    fn drop(&mut self) {
        if let Some((running, thread)) = self.running.take() {
            drop(running);
            // It says itself what it has found.
            let _ = thread.join();
        }
    }
}

/// Not by an error or a panic: whoever could hear of it waits for what does not come back. And not by
/// `eprintln`, which a test keeps until it has ended.
fn stands_still(place: &impl Debug) -> ! {
    let _ = writeln!(std::io::stderr(), "time stands still, nothing ends any more: {place:?}");
    std::process::abort()
}
