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

/// Requests for a name with a line of their own in the menu.
pub(crate) const MENU_REQUESTS_MAX: usize = 3;

/// Requests for a name that are remembered as told; the oldest is forgotten.
pub(crate) const TOLD_REQUESTS_MAX: usize = 200;

/// Running requests with a line of their own in the menu.
pub(crate) const MENU_RUNNING_MAX: usize = 3;

/// The curves are drawn anew this often while they move.
pub(crate) const TRAFFIC_EVERY: Duration = Duration::from_secs(20);

/// A pause "for an hour".
pub(crate) const PAUSE: Duration = Duration::from_secs(3600);

/// Offline for so long after being online, and a person is told.
pub(crate) const OFFLINE_TOLD: Duration = Duration::from_secs(120);

/// A test request through the server, from start to end; a model may have to be woken first.
pub(crate) const TRY_MAX: Duration = Duration::from_secs(180);

/// Steps of a wake test that wait for the page.
pub(crate) const WAKE_STEPS_MAX: usize = 64;

/// The longest text that the page may send in one field.
pub(crate) const FIELD_CHARS_MAX: usize = 16 * 1024;

/// Between looks of the window at the status of the publishing process.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Between looks whether a second start wants the window, where the file system does not tell of it.
pub(crate) const ASKED_EVERY: Duration = Duration::from_secs(2);

/// Between looks of the window whether it is wanted at the front.
pub(crate) const SHOW_EVERY: Duration = Duration::from_millis(300);
