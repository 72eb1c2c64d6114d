//! Events that the tray, the background work and the window process send to the supervisor.

use crate::limits::EVENTS_MAX;
use crate::menu::action::Action;
use crate::route::Route;
use tokio::sync::mpsc;

/// An event that the supervisor handles.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Show the window, on this page if one is given.
    Show(Option<Route>),
    /// A line of the tray's menu was clicked.
    Clicked(Action),
    /// The desktop shows the tray icon.
    TrayShown,
    /// The desktop has shown no tray icon for a while.
    TrayMissing,
    /// The window process has ended.
    WindowClosed,
}

/// Sends events to the supervisor. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct EventSender(mpsc::Sender<Event>);

/// Creates the supervisor's inbox and its sender.
pub(crate) fn channel() -> (EventSender, mpsc::Receiver<Event>) {
    let (sender, inbox) = mpsc::channel(EVENTS_MAX);
    (EventSender(sender), inbox)
}

impl EventSender {
    /// Sends an event from a callback of the desktop, which must not wait. An event that does not
    /// fit is dropped and logged: the supervisor never blocks, so only a flood of clicks can do that.
    /// Ignored once the supervisor has ended.
    pub(crate) fn send(&self, event: Event) {
        if let Err(mpsc::error::TrySendError::Full(event)) = self.0.try_send(event) {
            tracing::warn!(?event, "too many events at once; this one is dropped");
        }
    }

    /// Sends an event that must not be dropped; waits for room. Ignored once the supervisor has ended.
    pub(crate) async fn deliver(&self, event: Event) {
        let _ = self.0.send(event).await;
    }
}
