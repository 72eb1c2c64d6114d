//! The state that the window's commands share, and the updates that are pushed to the page.

use crate::config_edits;
use crate::route::{Page, Route};
use crate::view::View;
use keychain::Keychain;
use parking_lot::Mutex;
use registrar::config::Config;
use registrar::config::edit::Edit;
use registrar::config::settings::Settings;
use registrar::config_watch::Snapshot;
use registrar::home::Home;
use registrar::wake::Recipes;
use serde::Serialize;
use std::sync::Arc;
use tauri::async_runtime::JoinHandle;
use tauri::ipc::Channel;
use tokio::sync::watch;

/// An update that is pushed to the page.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "type", content = "value", rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(export))]
pub(crate) enum WindowUpdate {
    /// The view has changed.
    View(Box<View>),
    /// The tray process requested this page.
    Show(Route),
}

/// The requested page, and a counter that makes repeated requests distinct.
#[derive(Debug, Clone)]
struct RouteRequest {
    count: u64,
    route: Route,
}

/// The state that the commands work with; managed by Tauri.
pub(crate) struct WindowState {
    /// The folder.
    pub home: Home,
    /// Stores the token.
    pub keychain: Keychain,
    /// Runs the recipe of a wake test.
    pub recipes: Recipes,
    config: watch::Receiver<Arc<Snapshot>>,
    view: watch::Receiver<View>,
    refused: watch::Sender<Option<String>>,
    requested: watch::Sender<RouteRequest>,
    /// Pushes updates to the page.
    push: Mutex<Option<JoinHandle<()>>>,
}

impl WindowState {
    /// Starts with this page requested, if one is given.
    pub(crate) fn new(
        home: Home,
        config: watch::Receiver<Arc<Snapshot>>,
        view: watch::Receiver<View>,
        refused: watch::Sender<Option<String>>,
        route: Option<Route>,
    ) -> Self {
        let count = u64::from(route.is_some());
        let route = route.unwrap_or_else(|| Page::Overview.into());
        Self {
            keychain: Keychain::os(),
            recipes: Recipes::new(&home),
            home,
            config,
            view,
            refused,
            requested: watch::Sender::new(RouteRequest { count, route }),
            push: Mutex::default(),
        }
    }

    /// Pushes every view and every requested page to the page. A new channel replaces the one before,
    /// because a reloaded page opens a new one.
    pub(crate) fn push_updates(&self, channel: Channel<WindowUpdate>) {
        let (mut view, mut requested) = (self.view.clone(), self.requested.subscribe());
        let (mut new_view, mut new_route) = (true, requested.borrow().count > 0);
        let push = tauri::async_runtime::spawn(async move {
            loop {
                let mut sent = Ok(());
                if new_view {
                    let view = Box::new(view.borrow_and_update().clone());
                    sent = channel.send(WindowUpdate::View(view));
                }
                if new_route {
                    let route = requested.borrow_and_update().route.clone();
                    sent = sent.and_then(|()| channel.send(WindowUpdate::Show(route)));
                }
                if sent.is_err() {
                    return;
                }
                (new_view, new_route) = tokio::select! {
                    changed = view.changed() => (changed.is_ok(), false),
                    changed = requested.changed() => (false, changed.is_ok()),
                };
                if !new_view && !new_route {
                    return;
                }
            }
        });
        if let Some(before) = self.push.lock().replace(push) {
            before.abort();
        }
    }

    /// Requests that the page shows this route.
    pub(crate) fn request_route(&self, route: Route) {
        self.requested.send_modify(|request| {
            *request = RouteRequest { count: request.count + 1, route };
        });
    }

    /// The content of config.json.
    pub(crate) fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.borrow().config)
    }

    /// The settings of this machine.
    pub(crate) fn settings(&self) -> Settings {
        self.config.borrow().config.settings.clone()
    }

    /// The current view.
    pub(crate) fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// Edits config.json for a switch. The view follows once the watcher has read the file. A refusal
    /// is returned, and shown as a notice on every page.
    pub(crate) async fn edit(&self, edit: Edit) -> Result<(), String> {
        let edited = config_edits::apply(&self.home, edit).await.map(drop);
        self.refused.send_replace(edited.clone().err());
        edited
    }
}
