//! The tray app on a real display and a real session bus, with a real keyring and a panel that reads
//! what the app shows.
#![expect(clippy::unwrap_used, reason = "a test ends where it fails")]

mod first_run;
mod lifecycle;
mod panels;
mod tray;
mod window;

use serde_json::{Value, json};
use testkit::agent::{Home, provider};
use testkit::desktop::panel::{Icon, Panel};
use testkit::desktop::{App, Desktop};
use testkit::fake_backend::FakeBackend;
use testkit::mcpd::Mcpd;
pub(crate) use testkit::setup::with_keys;

/// A desktop with a signed-in tray app that publishes the model `qwen`, a server and a caller.
pub(crate) struct Setup {
    pub(crate) app: App,
    pub(crate) icon: Icon,
    pub(crate) home: Home,
    pub(crate) backend: FakeBackend,
    pub(crate) mcpd: Mcpd,
    /// Token of the user `tom`, who calls.
    pub(crate) caller: String,
    /// Token of the user `mia`, who publishes.
    pub(crate) publisher: String,
    pub(crate) panel: Panel,
    pub(crate) desktop: Desktop,
}

impl Setup {
    pub(crate) async fn new() -> Self {
        let (mcpd, backend) = (Mcpd::start().await, FakeBackend::awake().await);
        let (desktop, panel) = Desktop::with_panel().await;
        let (publisher, caller) = (mcpd.token("mia", "publish"), mcpd.token("tom", "infer"));
        let home = Home::default();
        configure_hidden(&home, &mcpd.url, &[provider("qwen", &backend.url)]);
        let app = App::at_login(&desktop, &home, &[("MCPCTL_TOKEN", &publisher)]);
        let icon = panel.icon().await;
        mcpd.until_active(&caller, "qwen").await;
        Self { app, icon, home, backend, mcpd, caller, publisher, panel, desktop }
    }

    /// Sends a streamed chat with a script for the fake backend.
    pub(crate) async fn scripted_chat(&self, script: Value) -> reqwest::Response {
        let body = testkit::caller::scripted_chat("qwen", script);
        let request = self.mcpd.post("/v1/chat/completions", &self.caller).json(&body);
        request.send().await.unwrap()
    }

    /// Replaces the providers in the configuration.
    pub(crate) fn configure(&self, providers: &[Value]) {
        configure_hidden(&self.home, &self.mcpd.url, providers);
    }
}

/// Writes a configuration with which a start at login opens no window.
pub(crate) fn configure_hidden(home: &Home, server: &str, providers: &[Value]) {
    let config = json!({
        "mcpdUrl": server, "llm": {"providers": providers}, "mcplocal": {"startHidden": true},
    });
    home.write(&serde_json::to_string_pretty(&config).unwrap());
}
