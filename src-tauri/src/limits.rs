//! Every limit of the tray app: times, counts and lengths.

use std::time::Duration;

/// The tray and the page are refreshed at most this often.
pub(crate) const REFRESH_EVERY: Duration = Duration::from_secs(1);

/// Events that may wait for the supervisor.
pub(crate) const EVENTS_MAX: usize = 64;

/// A quit waits this long for the registrar to withdraw. The registrar itself needs at most 5 s: 4 s
/// for the server's response and running requests, 0.5 s to report those that were stopped, and 0.5 s
/// for a write of `status.json`.
pub(crate) const WITHDRAW_MAX: Duration = Duration::from_secs(6);

/// First delay before the tray icon is retried; doubles up to [`TRAY_RETRY_MAX`].
pub(crate) const TRAY_RETRY_MIN: Duration = Duration::from_secs(1);

/// Longest delay before the tray icon is retried.
pub(crate) const TRAY_RETRY_MAX: Duration = Duration::from_secs(30);

/// A missing tray icon is reported after this long: at login the panel may start later.
pub(crate) const TRAY_GRACE: Duration = Duration::from_secs(8);

/// One call on the session bus, so that a panel that hangs does not block the tray.
pub(crate) const BUS_CALL_MAX: Duration = Duration::from_secs(2);

/// Models with a line of their own in the menu; the window shows the rest.
pub(crate) const MENU_MODELS_MAX: usize = 10;

/// Characters of one menu line; panels do not wrap.
pub(crate) const MENU_LINE_CHARS_MAX: usize = 90;

/// Requests for a name with a line of their own in the menu.
pub(crate) const MENU_REQUESTS_MAX: usize = 3;

/// Running requests with a line of their own in the menu.
pub(crate) const MENU_RUNNING_MAX: usize = 3;

/// Requests for a name that are remembered as reported; the oldest is dropped.
pub(crate) const REMEMBERED_REQUESTS_MAX: usize = 200;

/// The charts move on this often while they hold requests.
pub(crate) const CHART_EVERY: Duration = Duration::from_secs(20);

/// A pause of one hour.
pub(crate) const PAUSE_HOUR: Duration = Duration::from_secs(3600);

/// A lost connection is reported after this long.
pub(crate) const OFFLINE_NOTICE_AFTER: Duration = Duration::from_secs(120);

/// A test request through the server, from start to end; the model may have to wake first.
pub(crate) const TEST_REQUEST_MAX: Duration = Duration::from_secs(180);

/// Steps of a wake test that may wait for the page.
pub(crate) const WAKE_STEPS_MAX: usize = 64;

/// The longest text that the page may send in one field, in bytes.
pub(crate) const FIELD_BYTES_MAX: usize = 16 * 1024;

/// The window reads the files of the tray process this often.
pub(crate) const READ_EVERY: Duration = Duration::from_millis(300);

/// The window checks this often if it was requested to come to the front.
pub(crate) const WINDOW_REQUEST_EVERY: Duration = Duration::from_millis(300);

/// The tray checks this often for a second start where the file system sends no events.
pub(crate) const SECOND_START_EVERY: Duration = Duration::from_secs(2);
