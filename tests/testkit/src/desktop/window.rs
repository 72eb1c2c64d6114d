//! The settings window of the real app, driven by WebKitWebDriver as a browser's page is.

use super::{App, Desktop, program};
use crate::agent::Home;
use crate::process::Process;
use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use std::process::Command;
use tempfile::TempDir;

/// The window, the driver that started its process, and the tray process.
pub struct Window {
    client: Client,
    driver: Process,
    _tray: App,
    _log: TempDir,
}

impl Window {
    /// Starts the tray process and, through the driver, the window process. The configuration must have
    /// `startHidden`, so that the tray process does not open a window of its own.
    pub async fn open(desktop: &Desktop, home: &Home, more: &[(&str, &str)]) -> Self {
        let log = tempfile::tempdir().unwrap();
        let port = crate::free_port();
        let tray = App::at_login(desktop, home, more);
        crate::until("the app runs", async || home.file("tray.lock").exists().then_some(())).await;
        // The driver passes its own environment on to the window process.
        let app = App::command(desktop, home, more);
        let mut command = Command::new("WebKitWebDriver");
        command.args([format!("--port={port}"), "--host=127.0.0.1".to_owned()]);
        for (name, value) in app.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env("TAURI_WEBVIEW_AUTOMATION", "true");
        let driver = Process::start("WebKitWebDriver", &mut command, log.path());
        let options = json!({"binary": program(), "args": ["--window"]});
        let capabilities = [("webkitgtk:browserOptions".to_owned(), options)];
        let capabilities: serde_json::Map<_, _> = capabilities.into_iter().collect();
        let client = crate::within(crate::TIMEOUT * 2, "the window is there", async || {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(capabilities.clone());
            builder.connect(&format!("http://127.0.0.1:{port}")).await.ok()
        })
        .await;
        Self { client, driver, _tray: tray, _log: log }
    }

    /// Waits until the page contains `words`.
    pub async fn until_text(&self, words: &str) {
        let mut last = String::new();
        let found = async {
            loop {
                last = self.text().await.unwrap_or_default();
                if last.contains(words) {
                    return;
                }
                tokio::time::sleep(crate::POLL_INTERVAL).await;
            }
        };
        let found = tokio::time::timeout(crate::TIMEOUT, found).await.is_ok();
        assert!(found, "the page does not contain {words:?}; it contains:\n{last}");
    }

    async fn text(&self) -> Result<String, CmdError> {
        let script = "return document.body.innerText";
        let text = self.client.execute(script, vec![]).await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// Clicks the button or link of this name.
    pub async fn click(&self, name: &str) {
        let path = format!(
            "//*[self::button or self::a][normalize-space(.)={0} or @aria-label={0}]",
            quoted(name)
        );
        self.find(&path).await.click().await.unwrap();
    }

    /// Chooses the radio button of this label.
    pub async fn check(&self, label: &str) {
        let path = format!("//label[input[@type='radio']][normalize-space(.)={}]", quoted(label));
        self.find(&path).await.click().await.unwrap();
    }

    /// True if the switch of this name is on.
    pub async fn is_on(&self, name: &str) -> bool {
        let path = format!("//*[@role='switch'][@aria-label={}]", quoted(name));
        let on = self.find(&path).await.attr("aria-checked").await.unwrap();
        on.as_deref() == Some("true")
    }

    /// Replaces the content of the field of this label.
    pub async fn fill(&self, label: &str, text: &str) {
        let field = self.field(label).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// As [`Self::fill`], in the field set of this name.
    pub async fn fill_in(&self, block: &str, label: &str, text: &str) {
        let field = self.field_in(block, label).await;
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Selects a value in the field of this label, in the field set of this name.
    pub async fn choose_in(&self, block: &str, label: &str, value: &str) {
        self.field_in(block, label).await.select_by_value(value).await.unwrap();
    }

    async fn field(&self, label: &str) -> Element {
        self.find(&format!("//*[@id=//label[normalize-space(.)={}]/@for]", quoted(label))).await
    }

    async fn field_in(&self, block: &str, label: &str) -> Element {
        let label = quoted(label);
        let block = quoted(block);
        self.find(&format!(
            "//fieldset[normalize-space(legend)={block}]\
             //*[@id=//fieldset[normalize-space(legend)={block}]\
             //label[normalize-space(.)={label}]/@for]"
        ))
        .await
    }

    async fn find(&self, path: &str) -> Element {
        crate::until(&format!("the page has {path}"), async || {
            self.client.find(Locator::XPath(path)).await.ok()
        })
        .await
    }

    /// Runs a script in the page.
    ///
    /// # Errors
    /// The driver refused the script, or the script threw.
    pub async fn run(&self, script: &str) -> Result<serde_json::Value, CmdError> {
        self.client.execute_async(script, vec![]).await
    }

    /// Screenshot of the page, as a PNG file.
    pub async fn picture(&self) -> Vec<u8> {
        self.client.screenshot().await.unwrap()
    }

    /// Scrolls to the field set of this name.
    pub async fn scroll_to(&self, block: &str) {
        let path = format!("//fieldset[normalize-space(legend)={}]", quoted(block));
        let block = self.find(&path).await;
        let script = "arguments[0].scrollIntoView()";
        self.client.execute(script, vec![serde_json::to_value(block).unwrap()]).await.unwrap();
    }

    /// Ends the window process and the driver.
    pub async fn close(mut self) {
        let _ = self.client.clone().close().await;
        self.driver.kill();
    }
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
