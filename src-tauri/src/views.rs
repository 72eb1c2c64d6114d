//! Keeps the view: a new one whenever what it is made of has changed. The process with the tray and
//! the one with the window have one each.

use crate::limits::{PAINT_EVERY, TRAFFIC_EVERY};
use crate::view::{self, Facts, View};
use registrar::clock::unix_ms;
use registrar::config_watch::Snapshot;
use registrar::status::Status;
use std::sync::Arc;
use tokio::sync::watch;

/// Where the view's facts come from.
pub(crate) struct Sources {
    /// What the publishing process reports.
    pub status: watch::Receiver<Status>,
    /// What the file asks for.
    pub config: watch::Receiver<Arc<Snapshot>>,
    /// Why the last click did not work.
    pub refused: watch::Receiver<Option<String>>,
    /// Why there is no tray icon.
    pub no_tray: watch::Receiver<Option<String>>,
}

impl Sources {
    /// The view now, and the work that keeps it.
    pub(crate) fn start(self) -> (watch::Receiver<View>, impl Future<Output = ()> + Send) {
        let (views, view) = watch::channel(self.view());
        (view, self.keep(views))
    }

    /// Publishes a view whenever it differs, and not more often than people can read.
    async fn keep(mut self, views: watch::Sender<View>) {
        loop {
            let view = self.view();
            let ages = view::ages(&view);
            if views.send_if_modified(|shown| replace_if_other(shown, view)) {
                tokio::time::sleep(PAINT_EVERY).await;
            }
            if self.changed(ages).await.is_err() {
                return;
            }
        }
    }

    fn view(&self) -> View {
        view::view(Facts {
            status: &self.status.borrow(),
            config: &self.config.borrow(),
            refused: self.refused.borrow().as_deref(),
            no_tray: self.no_tray.borrow().as_deref(),
            now: unix_ms(),
        })
    }

    async fn changed(&mut self, ages: bool) -> Result<(), watch::error::RecvError> {
        let counts_down = view::counts_down(&self.status.borrow());
        tokio::select! {
            changed = self.status.changed() => changed,
            changed = self.config.changed() => changed,
            changed = self.refused.changed() => changed,
            changed = self.no_tray.changed() => changed,
            () = tokio::time::sleep(PAINT_EVERY), if counts_down => Ok(()),
            () = tokio::time::sleep(TRAFFIC_EVERY), if ages => Ok(()),
        }
    }
}

fn replace_if_other(shown: &mut View, view: View) -> bool {
    let other = *shown != view;
    *shown = view;
    other
}
