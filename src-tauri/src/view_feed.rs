//! Builds a new view whenever one of its sources changes. The tray process and the window process
//! run one feed each.

use crate::limits::{CHART_EVERY, REFRESH_EVERY};
use crate::view::View;
use crate::view::build::{self, Inputs};
use registrar::clock::unix_ms;
use registrar::config_watch::Snapshot;
use registrar::status::Status;
use std::sync::Arc;
use tokio::sync::watch;

/// The sources of the view.
pub(crate) struct Sources {
    /// The publishing process's status.
    pub status: watch::Receiver<Status>,
    /// The content of config.json.
    pub config: watch::Receiver<Arc<Snapshot>>,
    /// Why the last click's edit was refused.
    pub refused: watch::Receiver<Option<String>>,
    /// Why there is no tray icon.
    pub no_tray: watch::Receiver<Option<String>>,
}

impl Sources {
    /// Returns the view, and the work that updates it until a source ends.
    pub(crate) fn start(self) -> (watch::Receiver<View>, impl Future<Output = ()> + Send) {
        let (views, view) = watch::channel(self.view());
        (view, self.run(views))
    }

    /// Sends a view whenever it differs, at most once a second.
    async fn run(mut self, views: watch::Sender<View>) {
        loop {
            let view = self.view();
            let has_traffic = build::has_traffic(&view);
            if views.send_if_modified(|shown| replace_if_different(shown, view)) {
                tokio::time::sleep(REFRESH_EVERY).await;
            }
            if self.changed(has_traffic).await.is_err() {
                return;
            }
        }
    }

    fn view(&self) -> View {
        build::view(Inputs {
            status: &self.status.borrow(),
            config: &self.config.borrow(),
            refused: self.refused.borrow().as_deref(),
            no_tray: self.no_tray.borrow().as_deref(),
            now: unix_ms(),
        })
    }

    async fn changed(&mut self, has_traffic: bool) -> Result<(), watch::error::RecvError> {
        let counts_down = build::counts_down(&self.status.borrow());
        tokio::select! {
            changed = self.status.changed() => changed,
            changed = self.config.changed() => changed,
            changed = self.refused.changed() => changed,
            changed = self.no_tray.changed() => changed,
            () = tokio::time::sleep(REFRESH_EVERY), if counts_down => Ok(()),
            () = tokio::time::sleep(CHART_EVERY), if has_traffic => Ok(()),
        }
    }
}

/// Replaces a value; true if the new one differs, for [`watch::Sender::send_if_modified`].
pub(crate) fn replace_if_different<T: PartialEq>(value: &mut T, new: T) -> bool {
    let different = *value != new;
    *value = new;
    different
}
