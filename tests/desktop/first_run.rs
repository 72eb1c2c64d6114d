//! The first run in the window of the real app, with exactly the tokens that the README creates: by a
//! pairing code, with a name of another user, and without any backend.

use crate::configure_hidden;
use serde_json::Value;
use testkit::agent::{Agent, Home, provider};
use testkit::desktop::Desktop;
use testkit::desktop::panel::Panel;
use testkit::desktop::window::Window;
use testkit::fake_backend::FakeBackend;
use testkit::mcpctl::Mcpctl;
use testkit::mcpd::Mcpd;
use testkit::process::CommandLine as _;

/// The model of the fake backend, which the first run publishes.
const MODEL: &str = "the-backends-own-name";

/// A fresh desktop and a server.
struct FirstRun {
    window: Window,
    home: Home,
    mcpd: Mcpd,
    admin: Mcpctl,
    _panel: Panel,
    desktop: Desktop,
}

impl FirstRun {
    /// Starts the app with these ports for discovery, such as `openai=9091`.
    async fn with_discovery(ports: &str) -> Self {
        let (desktop, panel) = Desktop::with_panel().await;
        let (mcpd, home) = (Mcpd::scaled(0.1).await, Home::default());
        home.write("{\"mcplocal\": {\"startHidden\": true}}");
        let window = Window::open(&desktop, &home, &[("MCPCTL_DISCOVER", ports)]).await;
        let admin = Mcpctl::with(&mcpd.url, &mcpd.token("root", "admin"));
        Self { window, home, mcpd, admin, _panel: panel, desktop }
    }

    /// Signs in as in the README: `mcpctl token create --user mia --scope publish`.
    async fn sign_in_with_a_token(&self) {
        let create = ["token", "create", "--user", "mia", "--scope", "publish"];
        let token = self.admin.run(&create).await.expect_success();
        self.window.until_text("Share a model on this machine").await;
        self.window.fill("Server URL", &self.mcpd.url).await;
        self.window.fill("Token", token.trim()).await;
        self.window.click("Sign in").await;
        self.window.until_text("What do you want to share?").await;
    }

    /// Goes on from the models page and gets a response of the published model.
    async fn try_model(&self) {
        self.window.click("Next").await;
        self.window.click("Next").await;
        self.window.click("Send a test request").await;
        self.window.until_text("“whole”").await;
        self.window.click("Done").await;
        self.window.until_text("Online — 127.0.0.1").await;
    }
}

fn ports(backend: &FakeBackend) -> String {
    format!("openai={}", backend.url.rsplit(':').next().unwrap())
}

#[tokio::test]
async fn the_first_run_leads_from_a_pairing_code_to_a_response() {
    let backend = FakeBackend::awake().await;
    let run = FirstRun::with_discovery(&ports(&backend)).await;
    let window = &run.window;
    window.until_text("Share a model on this machine").await;
    window.fill("Server URL", "http://mcpd.example.com").await;
    // The URL is checked when the field loses the focus.
    window.fill("Token", "mcp_publish_wrong").await;
    window.until_text("must start with https://").await;
    window.fill("Server URL", &run.mcpd.url).await;
    window.click("Sign in").await;
    window.until_text("refused the token").await;

    // README: `mcpctl token pair --user mia --scope publish`.
    let pair = ["token", "pair", "--user", "mia", "--scope", "publish"];
    let code = run.admin.run(&pair).await.expect_success();
    window.check("Pairing code").await;
    window.fill("Pairing code", code.trim()).await;
    window.click("Sign in").await;
    window.until_text("What do you want to share?").await;
    assert!(!run.home.file("credentials").exists(), "the token is in the keyring");

    window.click("Publish the-backends-own-name").await;
    let caller = run.mcpd.token("tom", "infer");
    run.mcpd.until_active(&caller, MODEL).await;
    window.click("Next").await;
    assert!(!window.is_on("Start at login").await, "start at login is off by default");
    window.click("Start at login").await;
    let entry = run.desktop.autostart().join("mcplocal.desktop");
    testkit::until("the desktop's entry", async || entry.exists().then_some(())).await;
    let entry = std::fs::read_to_string(entry).unwrap();
    assert!(entry.contains("--autostart"), "{entry}");
    window.click("Next").await;
    window.click("Send a test request").await;
    window.until_text("“whole”").await;
    window.click("Done").await;
    window.until_text("Online — 127.0.0.1").await;
    run.window.close().await;
}

#[tokio::test]
async fn a_publish_token_is_enough_to_get_a_response() {
    let backend = FakeBackend::awake().await;
    let run = FirstRun::with_discovery(&ports(&backend)).await;
    run.sign_in_with_a_token().await;
    run.window.click("Publish the-backends-own-name").await;
    run.mcpd.until_active(&run.mcpd.token("tom", "infer"), MODEL).await;
    run.try_model().await;
    run.window.close().await;
}

#[tokio::test]
async fn a_name_of_another_user_is_changed_with_one_click_and_the_model_responds() {
    let (backend, others) = (FakeBackend::awake().await, FakeBackend::awake().await);
    let run = FirstRun::with_discovery(&ports(&backend)).await;
    let caller = run.mcpd.token("eve", "infer");
    let toms = Home::default();
    configure_hidden(&toms, &run.mcpd.url, &[provider(MODEL, &others.url)]);
    let _tom = Agent::start(&toms, &run.mcpd.token("tom", "publish"));
    run.mcpd.until_active(&caller, MODEL).await;

    run.sign_in_with_a_token().await;
    run.window.click("Publish the-backends-own-name").await;
    run.window.until_text("name taken").await;
    run.window.until_text("belongs to another user, who was asked to share it").await;
    run.window.click("Publish as the-backends-own-name-mia").await;
    run.mcpd.until_active(&caller, "the-backends-own-name-mia").await;
    run.window.until_text("ready").await;
    run.try_model().await;
    assert!(others.requests().is_empty(), "the other user's machine got no request");
    let request: Value = serde_json::from_slice(&backend.requests()[0].body).unwrap();
    assert_eq!(request["model"], MODEL, "the backend gets its own model id");
    toms.until_status("no request", |s| s["nameRequests"] == Value::Array(Vec::new())).await;
    run.window.close().await;
}

#[tokio::test]
async fn without_any_backend_the_first_run_shows_what_to_do() {
    let nothing = format!("openai={}", testkit::free_port());
    let run = FirstRun::with_discovery(&nothing).await;
    run.sign_in_with_a_token().await;
    run.window.until_text("No backend responds").await;
    run.window.until_text("Start one of them and search again").await;
    run.window.click("Next").await;
    run.window.click("Next").await;
    run.window.until_text("Nothing is published yet.").await;
    run.window.until_text("Go back and publish a model, or finish now").await;
    run.window.click("Back").await;
    run.window.click("Back").await;
    run.window.click("Add manually…").await;
    run.window.until_text("New model").await;
    run.window.close().await;
}
