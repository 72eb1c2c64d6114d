//! Writes changes to the store, in a task of its own: a database that is locked, or on a full disk,
//! must not delay deadlines and notices.

use super::RelayDriver;
use crate::limits::SAVE_AGAIN;
use crate::store::{Change, StoreError};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Changes on their way to the store. If they are dropped before they are stored, because the write
/// failed or its request was dropped, the next write includes them.
struct Unsaved<'a> {
    driver: &'a RelayDriver,
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

impl RelayDriver {
    /// Stores what has changed.
    ///
    /// # Errors
    /// The store cannot be written; the next call tries the same changes again.
    pub(crate) async fn save(&self) -> Result<(), StoreError> {
        let _only_writer = self.saving.lock().await;
        let changes = self.inner.lock().take_changes();
        if changes.is_empty() {
            return Ok(());
        }
        let mut unsaved = Unsaved { driver: self, changes };
        self.store.apply(&unsaved.changes).await?;
        unsaved.changes.clear();
        Ok(())
    }

    /// Stores changes as they come, and retries while it fails. After `stop` it tries once more and
    /// ends.
    pub(crate) async fn save_changes(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.unsaved.notified() => {}
            }
            if let Err(error) = self.save().await {
                tracing::warn!(%error, "cannot store the catalogue; trying again");
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(SAVE_AGAIN) => {}
                }
            }
        }
        if let Err(error) = self.save().await {
            tracing::warn!(%error, "cannot store the catalogue");
        }
    }
}
