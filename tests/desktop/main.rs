//! The tray app as its user meets it: on a real display, a real session bus, with a real keyring and
//! a panel that reads what the app shows.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod first_run;
mod lifecycle;
mod panels;
mod tray;
mod window;

use serde_json::{Value, json};
use testkit::agent::{Home, provider};
use testkit::backend::Backend;
use testkit::desktop::panel::{Icon, Panel};
use testkit::desktop::{App, Desktop};
use testkit::mcpd::Mcpd;

/// A person at their desktop, signed in, with the model `qwen` published; and somebody who calls it.
pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) icon: Icon,
    pub(crate) home: Home,
    pub(crate) backend: Backend,
    pub(crate) mcpd: Mcpd,
    /// The caller's key.
    pub(crate) caller: String,
    /// The owner's token.
    pub(crate) publisher: String,
    pub(crate) panel: Panel,
    pub(crate) desktop: Desktop,
}

impl World {
    pub(crate) async fn new() -> Self {
        let (mcpd, backend) = (Mcpd::start().await, Backend::awake().await);
        let (desktop, panel) = Desktop::with_panel().await;
        let (publisher, caller) = (mcpd.token("mia", "publish"), mcpd.token("tom", "infer"));
        let home = Home::default();
        hidden(&home, &mcpd.url, &[provider("qwen", &backend.url)]);
        let app = App::at_login(&desktop, &home, &[("MCPCTL_TOKEN", &publisher)]);
        let icon = panel.icon().await;
        mcpd.active(&caller, "qwen").await;
        Self { app, icon, home, backend, mcpd, caller, publisher, panel, desktop }
    }

    /// Sends a streamed chat that the scripted backend answers as told.
    pub(crate) async fn scripted(&self, script: Value) -> reqwest::Response {
        let body = testkit::caller::scripted("qwen", script);
        let request = self.mcpd.post("/v1/chat/completions", &self.caller).json(&body);
        request.send().await.unwrap()
    }

    /// Writes the configuration as an editor does.
    pub(crate) fn configure(&self, providers: &[Value]) {
        hidden(&self.home, &self.mcpd.url, providers);
    }
}

/// A configuration with which a start at login opens no window.
pub(crate) fn hidden(home: &Home, server: &str, providers: &[Value]) {
    let config = json!({
        "mcpdUrl": server, "llm": {"providers": providers}, "mcplocal": {"startHidden": true},
    });
    home.write(&serde_json::to_string_pretty(&config).unwrap());
}

/// An entry with these further keys.
pub(crate) fn and(mut entry: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        entry[key] = value.clone();
    }
    entry
}
