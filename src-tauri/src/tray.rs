//! Paints [`crate::menu::Menu`] on the platform's tray: in place, and only what changed, because an
//! open menu must not be replaced. A desktop without a tray is a state, not an error: it is tried
//! again until a panel comes. What is painted is decided elsewhere.

use crate::app::App;
use crate::limits::{PANEL_GRACE, TRAY_RETRY_MAX, TRAY_RETRY_MIN};
use crate::menu::{Item, Menu, menu};
use crate::view::{Mark, View};
use crate::words::say;
use std::sync::Arc;
use tauri::image::Image;
use tauri::menu::{CheckMenuItem, IsMenuItem, MenuItem, PredefinedMenuItem, Submenu};
use tauri::tray::{MouseButton, MouseButtonState, TrayIcon, TrayIconBuilder, TrayIconEvent};
use tauri::{AppHandle, Manager, Wry};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

const TRAY_ID: &str = "mcplocal";

/// What the painter works with.
pub(crate) struct Easel {
    /// The application.
    pub app: AppHandle,
    /// What to paint; the painter ends with its sender.
    pub view: watch::Receiver<View>,
    /// Told whether there is no tray, and what that means.
    pub no_tray: Arc<watch::Sender<Option<String>>>,
    /// A click changed a check mark that the view did not: paint all of it again.
    pub repaint: Arc<Notify>,
}

/// Waits for a panel, then paints every view. Blocks in the platform's calls: give it a thread.
pub(crate) async fn keep_painting(mut easel: Easel) {
    let Some(mut painter) = first_paint(&mut easel).await else { return };
    loop {
        let mut all = false;
        tokio::select! {
            changed = easel.view.changed() => if changed.is_err() { return },
            () = easel.repaint.notified() => all = true,
        }
        let menu = menu(&easel.view.borrow_and_update());
        if let Err(error) = painter.paint(menu, all) {
            tracing::warn!(%error, "the tray could not be repainted: {error}");
        }
    }
}

/// None when the application ended before there was a panel.
async fn first_paint(easel: &mut Easel) -> Option<Painter> {
    let started = Instant::now();
    let mut retry = TRAY_RETRY_MIN;
    loop {
        let menu = menu(&easel.view.borrow_and_update());
        match painter(&easel.app, menu).await {
            Ok(painter) => {
                easel.no_tray.send_replace(None);
                return Some(painter);
            }
            Err(error) => tracing::debug!(%error, "no tray icon yet: {error}"),
        }
        if started.elapsed() >= PANEL_GRACE
            && easel.no_tray.send_replace(Some(say("notice.noTray"))).is_none()
        {
            tracing::info!("this desktop shows no tray icon; opening the window instead");
            easel.app.state::<App>().opener.show(&easel.app, None);
        }
        let gone = async { while easel.view.changed().await.is_ok() {} };
        // The person without a panel is told when the grace is over, and not at some later try.
        let grace = PANEL_GRACE.saturating_sub(started.elapsed());
        let wait = if grace.is_zero() { retry } else { retry.min(grace) };
        tokio::select! {
            () = sleep(wait) => {}
            () = panel_changed() => {}
            () = gone => return None,
        }
        retry = (retry * 2).min(TRAY_RETRY_MAX);
    }
}

async fn painter(app: &AppHandle, menu: Menu) -> Result<Painter, String> {
    #[cfg(target_os = "linux")]
    crate::panel::present().await?;
    Painter::new(app, menu).map_err(|error| error.to_string())
}

/// A panel has come, or gone.
async fn panel_changed() {
    #[cfg(target_os = "linux")]
    crate::panel::changed().await;
    #[cfg(not(target_os = "linux"))]
    std::future::pending().await
}

/// The tray icon and what is on it.
struct Painter {
    app: AppHandle,
    icon: TrayIcon,
    menu: tauri::menu::Menu<Wry>,
    lines: Vec<Line>,
    painted: Menu,
}

impl Painter {
    fn new(app: &AppHandle, painted: Menu) -> tauri::Result<Self> {
        let menu = tauri::menu::Menu::new(app)?;
        let mut lines = Vec::new();
        for item in &painted.items {
            let line = Line::new(app, item)?;
            menu.append(line.as_item())?;
            lines.push(line);
        }
        let icon = TrayIconBuilder::with_id(TRAY_ID)
            .icon(picture(painted.mark))
            .tooltip(&painted.tooltip)
            .menu(&menu)
            .show_menu_on_left_click(cfg!(target_os = "macos"))
            .on_tray_icon_event(|tray, event| {
                if is_left_click(&event) {
                    let app = tray.app_handle();
                    app.state::<App>().opener.show(app, None);
                }
            })
            .build(app)?;
        Ok(Self { app: app.clone(), icon, menu, lines, painted })
    }

    /// Changes what differs; with `all` also what should not.
    fn paint(&mut self, new: Menu, all: bool) -> tauri::Result<()> {
        if new.mark != self.painted.mark {
            self.icon.set_icon(Some(picture(new.mark)))?;
        }
        if new.tooltip != self.painted.tooltip {
            self.icon.set_tooltip(Some(&new.tooltip))?;
        }
        self.replace_lines(&new.items)?;
        for (index, line) in self.lines.iter().enumerate() {
            if all || self.painted.items.get(index) != new.items.get(index) {
                line.set(&new.items[index])?;
            }
        }
        self.painted = new;
        Ok(())
    }

    /// Takes out the lines that are no more and puts in the new ones; the rest stays as it is.
    fn replace_lines(&mut self, new: &[Item]) -> tauri::Result<()> {
        let old = &self.painted.items;
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
        self.painted.items.drain(head..self.painted.items.len() - tail);
        for (index, item) in new.iter().enumerate().take(new.len() - tail).skip(head) {
            let line = Line::new(&self.app, item)?;
            self.menu.insert(line.as_item(), index)?;
            self.lines.insert(index, line);
            self.painted.items.insert(index, item.clone());
        }
        Ok(())
    }
}

/// A line on the platform's menu.
enum Line {
    Text(MenuItem<Wry>),
    Check(CheckMenuItem<Wry>),
    More(Submenu<Wry>),
    Separator(PredefinedMenuItem<Wry>),
}

impl Line {
    fn new(app: &AppHandle, item: &Item) -> tauri::Result<Self> {
        Ok(match item {
            Item::Words(words) => {
                Self::Text(MenuItem::new(app, escape(words), false, None::<&str>)?)
            }
            Item::Button { action, label } => {
                Self::Text(MenuItem::with_id(app, action.id(), escape(label), true, None::<&str>)?)
            }
            Item::Switch { label, on, .. } => {
                let id = item.id().unwrap_or_default();
                let label = escape(label);
                Self::Check(CheckMenuItem::with_id(app, id, label, true, *on, None::<&str>)?)
            }
            Item::More { label, items } => {
                let more = Submenu::new(app, escape(label), true)?;
                for item in items {
                    more.append(Self::new(app, item)?.as_item())?;
                }
                Self::More(more)
            }
            Item::Separator => Self::Separator(PredefinedMenuItem::separator(app)?),
        })
    }

    fn set(&self, item: &Item) -> tauri::Result<()> {
        match (self, item) {
            (Self::Text(line), Item::Words(words)) => line.set_text(escape(words)),
            (Self::Text(line), Item::Button { label, .. }) => line.set_text(escape(label)),
            (Self::Check(line), Item::Switch { label, on, .. }) => {
                line.set_text(escape(label))?;
                line.set_checked(*on)
            }
            (Self::Text(_) | Self::Check(_) | Self::More(_) | Self::Separator(_), _) => Ok(()),
        }
    }

    fn as_item(&self) -> &dyn IsMenuItem<Wry> {
        match self {
            Self::Text(line) => line,
            Self::Check(line) => line,
            Self::More(line) => line,
            Self::Separator(line) => line,
        }
    }
}

/// Whether the second can be painted over the first.
fn same_line(a: &Item, b: &Item) -> bool {
    std::mem::discriminant(a) == std::mem::discriminant(b) && a.id() == b.id()
}

/// `&` marks an access key on most platforms.
fn escape(text: &str) -> String {
    text.replace('&', "&&")
}

fn is_left_click(event: &TrayIconEvent) -> bool {
    matches!(
        event,
        TrayIconEvent::Click { button: MouseButton::Left, button_state: MouseButtonState::Up, .. }
    )
}

fn picture(mark: Mark) -> Image<'static> {
    match mark {
        Mark::Off => tauri::include_image!("../icons/tray-off.png"),
        Mark::Connecting => tauri::include_image!("../icons/tray-connecting.png"),
        Mark::Online => tauri::include_image!("../icons/tray-online.png"),
        Mark::Busy => tauri::include_image!("../icons/tray-busy.png"),
        Mark::Partial => tauri::include_image!("../icons/tray-partial.png"),
        Mark::Error => tauri::include_image!("../icons/tray-error.png"),
    }
}
