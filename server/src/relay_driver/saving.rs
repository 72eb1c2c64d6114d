//! What has changed goes to the store, in a task of its own: a database that is locked, or on a full
//! disk, must not hold up deadlines and notices.

use super::Driver;
use crate::limits::SAVE_AGAIN;
use crate::store::{Change, StoreError};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Changes on their way to the store. Dropped before they are there, because the write failed or
/// because the request that asked for it is gone, they wait for the next write.
struct Unsaved<'a> {
    driver: &'a Driver,
    changes: Vec<Change>,
}

impl Drop for Unsaved<'_> {
    fn drop(&mut self) {
        if !self.changes.is_empty() {
            self.driver.inner.lock().put_back(std::mem::take(&mut self.changes));
            self.driver.unsaved.notify_one();
        }
    }
}

impl Driver {
    /// Writes what has changed to the store. A failed write is tried again with the next one.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn save(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.saving.lock().await;
        let changes = self.inner.lock().take_changes();
        if changes.is_empty() {
            return Ok(());
        }
        let mut unsaved = Unsaved { driver: self, changes };
        self.store.apply(&unsaved.changes).await?;
        unsaved.changes.clear();
        Ok(())
    }

    /// Writes changes as they come, again and again while it fails. Ends when `stop` is cancelled,
    /// after a last try.
    pub(crate) async fn save_changes(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.unsaved.notified() => {}
            }
            if let Err(error) = self.save().await {
                tracing::warn!(%error, "the catalogue could not be written down; trying again");
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(SAVE_AGAIN) => {}
                }
            }
        }
        if let Err(error) = self.save().await {
            tracing::warn!(%error, "the catalogue could not be written down");
        }
    }
}
