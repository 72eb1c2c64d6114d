//! Shows notifications through the desktop. [`policy`] decides which ones are due.

pub(crate) mod policy;

use crate::events::{Event, EventSender};
use crate::i18n::tr;
use crate::route::Page;
use tauri::AppHandle;
use tauri_plugin_notification::NotificationExt as _;

/// One notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notification {
    /// The first line.
    pub title: String,
    /// The text below it.
    pub body: String,
    /// The page that a click opens.
    pub page: Page,
}

/// The notice that closing the window does not stop publishing.
pub(crate) fn still_running() -> Notification {
    let (title, body) = (tr("notification.stillRunning"), tr("notification.stillRunningBody"));
    Notification { title, body, page: Page::Overview }
}

/// Shows a notification. Its number is the index of its page, for [`open_window_on_click`].
pub(crate) fn show(app: &AppHandle, notification: &Notification) {
    let number = Page::ALL.iter().position(|page| *page == notification.page);
    let number = number.and_then(|index| i32::try_from(index).ok()).unwrap_or_default();
    let builder = app.notification().builder().id(number);
    let builder = builder.title(&notification.title).body(&notification.body);
    if let Err(error) = builder.show() {
        tracing::debug!(%error, "no notification can be shown");
    }
}

/// Makes a click on a notification open its page.
pub(crate) fn open_window_on_click(app: &AppHandle, events: EventSender) {
    let registered = app.notification().on_action(move |action| {
        let number = action.notification().map(|notification| notification.id());
        let page = number.and_then(|number| Page::ALL.get(usize::try_from(number).ok()?));
        let page = page.copied().unwrap_or(Page::Overview);
        events.send(Event::Show(Some(page.into())));
    });
    if let Err(error) = registered {
        tracing::debug!(%error, "clicks on notifications cannot be received");
    }
}
