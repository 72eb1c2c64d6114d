//! Shows a [`Menu`] on the desktop's tray. [`menu()`] decides its content.
//!
//! Changes only the lines that differ, because an open menu must not be replaced. A desktop without a
//! tray is no error: the icon is retried until a panel appears.

use crate::events::{Event, EventSender};
use crate::limits::{TRAY_GRACE, TRAY_RETRY_MAX, TRAY_RETRY_MIN};
use crate::menu::{Item, Menu, menu};
use crate::view::{StateIcon, View};
use std::sync::Arc;
use tauri::image::Image;
use tauri::menu::{CheckMenuItem, IsMenuItem, MenuItem, PredefinedMenuItem, Submenu};
use tauri::tray::{MouseButton, MouseButtonState, TrayIcon, TrayIconBuilder, TrayIconEvent};
use tauri::{AppHandle, Wry};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

const TRAY_ID: &str = "mcplocal";

/// Everything that the tray works with.
pub(crate) struct TrayContext {
    /// The application.
    pub app: AppHandle,
    /// Receives clicks, and whether there is a tray icon.
    pub events: EventSender,
    /// The view to show; the tray ends with its sender.
    pub view: watch::Receiver<View>,
    /// A click changed a check mark that the view did not: set every line again.
    pub repaint: Arc<Notify>,
}

/// Waits for a panel, then shows every view. Blocks in the desktop's calls, so it needs a thread.
pub(crate) async fn run(mut context: TrayContext) {
    let Some(mut tray) = create_when_possible(&mut context).await else { return };
    loop {
        let mut all = false;
        tokio::select! {
            changed = context.view.changed() => if changed.is_err() { return },
            () = context.repaint.notified() => all = true,
        }
        let menu = menu(&context.view.borrow_and_update());
        if let Err(error) = tray.update(menu, all) {
            tracing::warn!(%error, "the tray could not be updated: {error}");
        }
    }
}

/// Retries until the icon is shown; `None` if the application ended before.
async fn create_when_possible(context: &mut TrayContext) -> Option<Tray> {
    let started = Instant::now();
    let mut retry = TRAY_RETRY_MIN;
    let mut reported_missing = false;
    loop {
        let menu = menu(&context.view.borrow_and_update());
        match create(context, menu).await {
            Ok(tray) => {
                context.events.deliver(Event::TrayShown).await;
                return Some(tray);
            }
            Err(error) => tracing::debug!(%error, "no tray icon yet: {error}"),
        }
        if started.elapsed() >= TRAY_GRACE && !reported_missing {
            tracing::info!("this desktop shows no tray icon; opening the window instead");
            context.events.deliver(Event::TrayMissing).await;
            reported_missing = true;
        }
        let view_ended = async { while context.view.changed().await.is_ok() {} };
        // The missing icon is reported at the end of the grace period, not at some later retry.
        let grace = TRAY_GRACE.saturating_sub(started.elapsed());
        let wait = if grace.is_zero() { retry } else { retry.min(grace) };
        tokio::select! {
            () = sleep(wait) => {}
            () = panel_changed() => {}
            () = view_ended => return None,
        }
        retry = (retry * 2).min(TRAY_RETRY_MAX);
    }
}

async fn create(context: &TrayContext, menu: Menu) -> Result<Tray, String> {
    #[cfg(target_os = "linux")]
    crate::tray_host::check().await?;
    Tray::new(&context.app, context.events.clone(), menu).map_err(|error| error.to_string())
}

/// Returns when a panel has appeared or gone.
async fn panel_changed() {
    #[cfg(target_os = "linux")]
    crate::tray_host::changed().await;
    #[cfg(not(target_os = "linux"))]
    std::future::pending().await
}

/// The tray icon, its menu, and the content that they show.
struct Tray {
    app: AppHandle,
    icon: TrayIcon,
    menu: tauri::menu::Menu<Wry>,
    lines: Vec<MenuLine>,
    shown: Menu,
}

impl Tray {
    fn new(app: &AppHandle, events: EventSender, shown: Menu) -> tauri::Result<Self> {
        let menu = tauri::menu::Menu::new(app)?;
        let mut lines = Vec::new();
        for item in &shown.items {
            let line = MenuLine::new(app, item)?;
            menu.append(line.as_item())?;
            lines.push(line);
        }
        let icon = TrayIconBuilder::with_id(TRAY_ID)
            .icon(image(shown.icon))
            .tooltip(&shown.tooltip)
            .menu(&menu)
            .show_menu_on_left_click(cfg!(target_os = "macos"))
            .on_tray_icon_event(move |_, event| {
                if is_left_click(&event) {
                    events.send(Event::Show(None));
                }
            })
            .build(app)?;
        Ok(Self { app: app.clone(), icon, menu, lines, shown })
    }

    /// Shows new content. Sets only the lines that differ, or with `all` every line.
    fn update(&mut self, new: Menu, all: bool) -> tauri::Result<()> {
        if new.icon != self.shown.icon {
            self.icon.set_icon(Some(image(new.icon)))?;
        }
        if new.tooltip != self.shown.tooltip {
            self.icon.set_tooltip(Some(&new.tooltip))?;
        }
        self.replace_lines(&new.items)?;
        for (index, line) in self.lines.iter().enumerate() {
            if all || self.shown.items.get(index) != new.items.get(index) {
                line.set(&new.items[index])?;
            }
        }
        self.shown = new;
        Ok(())
    }

    /// Removes the lines that are gone and inserts new ones; lines at both ends stay untouched.
    fn replace_lines(&mut self, new: &[Item]) -> tauri::Result<()> {
        let old = &self.shown.items;
        let head = old.iter().zip(new).take_while(|(a, b)| same_line(a, b)).count();
        let tail = old[head..]
            .iter()
            .rev()
            .zip(new[head..].iter().rev())
            .take_while(|(a, b)| same_line(a, b))
            .count();
        for line in self.lines.drain(head..old.len() - tail) {
            self.menu.remove(line.as_item())?;
        }
        self.shown.items.drain(head..self.shown.items.len() - tail);
        for (index, item) in new.iter().enumerate().take(new.len() - tail).skip(head) {
            let line = MenuLine::new(&self.app, item)?;
            self.menu.insert(line.as_item(), index)?;
            self.lines.insert(index, line);
            self.shown.items.insert(index, item.clone());
        }
        Ok(())
    }
}

/// A line of the desktop's menu.
enum MenuLine {
    Text(MenuItem<Wry>),
    Check(CheckMenuItem<Wry>),
    Submenu(Submenu<Wry>),
    Separator(PredefinedMenuItem<Wry>),
}

impl MenuLine {
    fn new(app: &AppHandle, item: &Item) -> tauri::Result<Self> {
        Ok(match item {
            Item::Text(text) => Self::Text(MenuItem::new(app, escape(text), false, None::<&str>)?),
            Item::Button { action, label } => {
                Self::Text(MenuItem::with_id(app, action.id(), escape(label), true, None::<&str>)?)
            }
            Item::Switch { label, on, .. } => {
                let id = item.id().unwrap_or_default();
                let label = escape(label);
                Self::Check(CheckMenuItem::with_id(app, id, label, true, *on, None::<&str>)?)
            }
            Item::Submenu { label, items } => {
                let submenu = Submenu::new(app, escape(label), true)?;
                for item in items {
                    submenu.append(Self::new(app, item)?.as_item())?;
                }
                Self::Submenu(submenu)
            }
            Item::Separator => Self::Separator(PredefinedMenuItem::separator(app)?),
        })
    }

    fn set(&self, item: &Item) -> tauri::Result<()> {
        match (self, item) {
            (Self::Text(line), Item::Text(text)) => line.set_text(escape(text)),
            (Self::Text(line), Item::Button { label, .. }) => line.set_text(escape(label)),
            (Self::Check(line), Item::Switch { label, on, .. }) => {
                line.set_text(escape(label))?;
                line.set_checked(*on)
            }
            (Self::Text(_) | Self::Check(_) | Self::Submenu(_) | Self::Separator(_), _) => Ok(()),
        }
    }

    fn as_item(&self) -> &dyn IsMenuItem<Wry> {
        match self {
            Self::Text(line) => line,
            Self::Check(line) => line,
            Self::Submenu(line) => line,
            Self::Separator(line) => line,
        }
    }
}

/// True if the line of the first can be changed to show the second.
fn same_line(a: &Item, b: &Item) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b) && a.id() == b.id()
}

/// Doubles `&`, which marks an access key on most desktops.
fn escape(text: &str) -> String {
    text.replace('&', "&&")
}

fn is_left_click(event: &TrayIconEvent) -> bool {
    matches!(
        event,
        TrayIconEvent::Click { button: MouseButton::Left, button_state: MouseButtonState::Up, .. }
    )
}

fn image(icon: StateIcon) -> Image<'static> {
    match icon {
        StateIcon::Off => tauri::include_image!("../icons/tray-off.png"),
        StateIcon::Connecting => tauri::include_image!("../icons/tray-connecting.png"),
        StateIcon::Online => tauri::include_image!("../icons/tray-online.png"),
        StateIcon::Busy => tauri::include_image!("../icons/tray-busy.png"),
        StateIcon::Partial => tauri::include_image!("../icons/tray-partial.png"),
        StateIcon::Error => tauri::include_image!("../icons/tray-error.png"),
    }
}
