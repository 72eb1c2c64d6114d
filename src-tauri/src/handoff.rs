//! The files through which the tray process, the window process and a second start communicate.
//!
//! | file | meaning |
//! |---|---|
//! | `tray.lock` | held by the tray process; the window process ends when it is free |
//! | `tray.show` | created by a second start; the tray process shows the window |
//! | `tray.missing` | says why there is no tray icon; absent while there is one |
//! | `tray.told` | exists once the person was notified that publishing goes on without a window |
//! | `window.show` | requests the window process to come to the front; holds a route, or nothing |
//!
//! Everything else goes through `status.json` and `config.json`, as for every other program.

use crate::route::Route;
use registrar::file_lock::{self, FileLock};
use registrar::home::Home;
use std::io;
use std::path::PathBuf;

/// The shared files of one folder. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Handoff {
    home: Home,
}

impl Handoff {
    /// The shared files of this folder.
    pub(crate) fn new(home: &Home) -> Self {
        Self { home: home.clone() }
    }

    /// The file that a second start creates, so that the first one shows its window.
    pub(crate) fn second_start(&self) -> PathBuf {
        self.home.tray_show()
    }

    /// Takes the tray's lock; `None` if another process holds it.
    ///
    /// # Errors
    /// The lock file cannot be opened or locked.
    pub(crate) fn lock_tray(&self) -> io::Result<Option<FileLock>> {
        file_lock::try_lock(&self.home.tray_lock())
    }

    /// True while a tray process runs in this folder.
    pub(crate) fn is_tray_running(&self) -> bool {
        // A lock that was free is released at once.
        self.lock_tray().is_ok_and(|lock| lock.is_none())
    }

    /// Writes why there is no tray icon, or that there is one.
    pub(crate) fn set_tray_missing(&self, reason: Option<&str>) {
        let file = self.home.tray_missing();
        let written = match reason {
            Some(reason) => std::fs::write(file, reason),
            None => std::fs::remove_file(file),
        };
        if let Err(error) = written
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%error, "tray.missing cannot be updated");
        }
    }

    /// Reads why there is no tray icon.
    pub(crate) fn read_tray_missing(&self) -> Option<String> {
        std::fs::read_to_string(self.home.tray_missing()).ok()
    }

    /// Requests the running window to come to the front, on this page if one is given.
    pub(crate) fn request_window(&self, route: Option<&Route>) {
        let text = route.map(Route::text).unwrap_or_default();
        if let Err(error) = std::fs::write(self.home.window_show(), text) {
            tracing::warn!(%error, "window.show cannot be written; the window stays where it is");
        }
    }

    /// Takes a pending request to come to the front, and the page that it names.
    pub(crate) fn take_window_request(&self) -> Option<Option<Route>> {
        let file = self.home.window_show();
        let route = std::fs::read_to_string(&file).ok()?;
        let _ = std::fs::remove_file(file);
        Some(Route::parse(route.trim()))
    }

    /// Records that the close notice was shown; true the first time.
    pub(crate) fn first_close(&self) -> bool {
        let file = self.home.tray_told();
        !file.exists() && std::fs::write(file, "").is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Handoff;
    use crate::route::{Page, Route};
    use registrar::home::Home;

    #[test]
    fn a_request_for_the_window_is_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        let handoff = Handoff::new(&Home::at(dir.path()).unwrap());
        assert_eq!(handoff.take_window_request(), None);
        handoff.request_window(None);
        assert_eq!(handoff.take_window_request(), Some(None));
        let route = Route::from(Page::Activity);
        handoff.request_window(Some(&route));
        assert_eq!(handoff.take_window_request(), Some(Some(route)));
        assert_eq!(handoff.take_window_request(), None);
    }

    #[test]
    fn the_close_notice_is_due_once() {
        let dir = tempfile::tempdir().unwrap();
        let handoff = Handoff::new(&Home::at(dir.path()).unwrap());
        assert!(handoff.first_close());
        assert!(!handoff.first_close());
    }
}
