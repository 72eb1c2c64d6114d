//! Every limit of the tray app: times, counts and lengths. Nothing else.

use std::time::Duration;

/// The menu and the page are refreshed at most this often.
pub(crate) const PAINT_EVERY: Duration = Duration::from_secs(1);

/// A quit waits this long for the goodbye to the server and for running answers, which have their
/// own, shorter limits.
pub(crate) const GOODBYE_MAX: Duration = Duration::from_secs(12);

/// First wait before the tray icon is tried again; doubles up to [`TRAY_RETRY_MAX`].
pub(crate) const TRAY_RETRY_MIN: Duration = Duration::from_secs(1);

/// Longest wait before the tray icon is tried again.
pub(crate) const TRAY_RETRY_MAX: Duration = Duration::from_secs(30);

/// At login the panel may come later than we do: so long nobody is told that it is missing.
pub(crate) const PANEL_GRACE: Duration = Duration::from_secs(8);

/// One question to the session bus; a panel that hangs must not hang us.
pub(crate) const BUS_CALL_MAX: Duration = Duration::from_secs(2);

/// Models with a line of their own in the menu; the window shows the rest.
pub(crate) const MENU_MODELS_MAX: usize = 10;

/// Characters of one menu line; panels do not wrap.
pub(crate) const MENU_LINE_CHARS_MAX: usize = 90;
