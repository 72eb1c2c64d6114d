//! The first run in the window of the real app, with exactly the tokens that README makes: from a
//! pairing code, with a name that is another user's, and without any backend.

use crate::hidden;
use serde_json::Value;
use testkit::agent::{Agent, Home, provider};
use testkit::backend::Backend;
use testkit::desktop::Desktop;
use testkit::desktop::panel::Panel;
use testkit::desktop::window::Window;
use testkit::mcpctl::Mcpctl;
use testkit::mcpd::Mcpd;
use testkit::process::CommandLine as _;

/// What the scripted backend calls its model, and the first run therefore publishes.
const MODEL: &str = "the-backends-own-name";

/// A person at a fresh desktop, and a team's server.
struct FirstRun {
    window: Window,
    home: Home,
    mcpd: Mcpd,
    admin: Mcpctl,
    _panel: Panel,
    desktop: Desktop,
}

impl FirstRun {
    /// Backends are looked for there, as `openai=9091`.
    async fn looking_at(ports: &str) -> Self {
        let (desktop, panel) = Desktop::with_panel().await;
        let (mcpd, home) = (Mcpd::scaled(0.1).await, Home::default());
        home.write("{\"mcplocal\": {\"startHidden\": true}}");
        let window = Window::open(&desktop, &home, &[("MCPCTL_DISCOVER", ports)]).await;
        let admin = Mcpctl::with(&mcpd.url, &mcpd.token("root", "admin"));
        Self { window, home, mcpd, admin, _panel: panel, desktop }
    }

    /// README: `mcpctl token create --user mia --scope publish`.
    async fn sign_in_with_a_token(&self) {
        let create = ["token", "create", "--user", "mia", "--scope", "publish"];
        let token = self.admin.run(&create).await.good();
        self.window.says("Share a model on this machine").await;
        self.window.fill("Server URL", &self.mcpd.url).await;
        self.window.fill("Token", token.trim()).await;
        self.window.click("Sign in").await;
        self.window.says("What do you want to share?").await;
    }

    /// From the models to an answer of the one that is published.
    async fn ask(&self) {
        self.window.click("Next").await;
        self.window.click("Next").await;
        self.window.click("Send a test request").await;
        self.window.says("“whole”").await;
        self.window.click("Done").await;
        self.window.says("Online — 127.0.0.1").await;
    }
}

fn ports(backend: &Backend) -> String {
    format!("openai={}", backend.url.rsplit(':').next().unwrap())
}

#[tokio::test]
async fn the_first_run_leads_from_a_pairing_code_to_an_answer() {
    let backend = Backend::awake().await;
    let run = FirstRun::looking_at(&ports(&backend)).await;
    let window = &run.window;
    window.says("Share a model on this machine").await;
    window.fill("Server URL", "http://mcpd.example.com").await;
    // Said once the field is left.
    window.fill("Token", "mcp_publish_wrong").await;
    window.says("must start with https://").await;
    window.fill("Server URL", &run.mcpd.url).await;
    window.click("Sign in").await;
    window.says("refused the token").await;

    // README: `mcpctl token pair --user mia --scope publish`.
    let pair = ["token", "pair", "--user", "mia", "--scope", "publish"];
    let code = run.admin.run(&pair).await.good();
    window.check("Pairing code").await;
    window.fill("Pairing code", code.trim()).await;
    window.click("Sign in").await;
    window.says("What do you want to share?").await;
    assert!(!run.home.file("credentials").exists(), "the token is in the keyring");

    window.click("Publish the-backends-own-name").await;
    let caller = run.mcpd.token("tom", "infer");
    run.mcpd.active(&caller, MODEL).await;
    window.click("Next").await;
    assert!(!window.is_on("Start at login").await, "nothing starts by itself unasked");
    window.click("Start at login").await;
    let entry = run.desktop.autostart().join("mcplocal.desktop");
    testkit::until("the desktop's entry", async || entry.exists().then_some(())).await;
    let entry = std::fs::read_to_string(entry).unwrap();
    assert!(entry.contains("--autostart"), "{entry}");
    window.click("Next").await;
    window.click("Send a test request").await;
    window.says("“whole”").await;
    window.click("Done").await;
    window.says("Online — 127.0.0.1").await;
    run.window.close().await;
}

#[tokio::test]
async fn a_publishing_token_is_enough_to_get_an_answer() {
    let backend = Backend::awake().await;
    let run = FirstRun::looking_at(&ports(&backend)).await;
    run.sign_in_with_a_token().await;
    run.window.click("Publish the-backends-own-name").await;
    run.mcpd.active(&run.mcpd.token("tom", "infer"), MODEL).await;
    run.ask().await;
    run.window.close().await;
}

#[tokio::test]
async fn a_name_that_another_user_has_is_left_behind_with_one_click_and_the_model_answers() {
    let (backend, others) = (Backend::awake().await, Backend::awake().await);
    let run = FirstRun::looking_at(&ports(&backend)).await;
    let caller = run.mcpd.token("eve", "infer");
    let toms = Home::default();
    hidden(&toms, &run.mcpd.url, &[provider(MODEL, &others.url)]);
    let _tom = Agent::start(&toms, &run.mcpd.token("tom", "publish"));
    run.mcpd.active(&caller, MODEL).await;

    run.sign_in_with_a_token().await;
    run.window.click("Publish the-backends-own-name").await;
    run.window.says("name taken").await;
    run.window.says("belongs to another user, who was asked to share it").await;
    run.window.click("Publish as the-backends-own-name-mia").await;
    run.mcpd.active(&caller, "the-backends-own-name-mia").await;
    run.window.says("ready").await;
    run.ask().await;
    assert!(others.seen().is_empty(), "the other one's machine was not asked");
    let asked: Value = serde_json::from_slice(&backend.seen()[0].body).unwrap();
    assert_eq!(asked["model"], MODEL, "the backend is asked for its own id");
    toms.shows("who asked", |s| s["nameRequests"] == Value::Array(Vec::new())).await;
    run.window.close().await;
}

#[tokio::test]
async fn without_any_backend_the_first_run_says_what_to_do() {
    let nothing = format!("openai={}", testkit::free_port());
    let run = FirstRun::looking_at(&nothing).await;
    run.sign_in_with_a_token().await;
    run.window.says("No backend responds").await;
    run.window.says("Start one of them and search again").await;
    run.window.click("Next").await;
    run.window.click("Next").await;
    run.window.says("Nothing is published yet.").await;
    run.window.says("Go back and publish a model, or finish now").await;
    run.window.click("Back").await;
    run.window.click("Back").await;
    run.window.click("Add manually…").await;
    run.window.says("New model").await;
    run.window.close().await;
}
