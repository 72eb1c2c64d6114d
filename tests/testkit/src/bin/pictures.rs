//! Takes the README's pictures of the real app: pages by WebDriver, the menu on a real panel.
//!
//! `MCPLOCAL_APP` names the program; `scripts/pictures.sh` builds it and installs the panel.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a developer tool")]

use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use testkit::agent::{Home, provider};
use testkit::desktop::Desktop;
use testkit::desktop::window::Window;
use testkit::fake_backend::FakeBackend;
use testkit::mcpd::Mcpd;
use testkit::process::Process;

/// Settings of a panel at the left of the lower edge that has only tray icons.
const PANEL: &[(&str, &str, &str)] = &[
    ("/panels", "int-array", "1"),
    ("/panels/panel-1/position", "string", "p=8;x=600;y=880"),
    ("/panels/panel-1/length", "uint", "100"),
    ("/panels/panel-1/size", "uint", "36"),
    ("/panels/panel-1/plugin-ids", "int-array", "1"),
    ("/plugins/plugin-1", "string", "systray"),
];
/// Position of the icon, and the part of the screen that becomes the picture.
const ICON: (&str, &str) = ("18", "880");
const PART: &str = "520x420+0+480";

#[tokio::main]
async fn main() {
    let desktop = Desktop::bare().await;
    let (mcpd, backend, asleep) =
        (Mcpd::start().await, FakeBackend::awake().await, FakeBackend::asleep().await);
    let folder = tempfile::tempdir().unwrap();
    let _panel = panel(&desktop, &folder).await;
    let home = home(&mcpd, &backend, &asleep);
    let publisher = mcpd.token("mia", "publish");
    let keys = [mcpd.token("tom", "infer"), mcpd.token("ann", "infer")];
    let window = Window::open(&desktop, &home, &[("MCPCTL_TOKEN", &publisher)]).await;
    mcpd.until_active(&keys[0], "qwen3-8b").await;
    for (at, tokens) in [312, 1840, 96, 705].into_iter().enumerate() {
        chat(&mcpd, &keys[at % 2], tokens).await;
    }
    let script = json!({"do": "count", "n": 9, "stallAt": 3});
    let body = testkit::caller::scripted_chat("qwen3-8b", script);
    let running = mcpd.post("/v1/chat/completions", &keys[0]).json(&body).send().await.unwrap();
    window.until_text("busy 1").await;

    for (page, name, words) in [
        ("Overview", "overview", "Last 30 minutes"),
        ("Models", "models", "gemma-3"),
        ("Activity", "activity", "1840"),
        ("Connection", "connection", "Sign in with another"),
        ("General", "general", "Quiet hours"),
        ("Diagnostics", "diagnostics", "Good"),
        ("About", "about", "0.1.0"),
    ] {
        window.click(page).await;
        window.until_text(words).await;
        save(name, &window.picture().await);
    }
    window.click("Models").await;
    window.click("llama-3.3-70b").await;
    window.until_text("Wake").await;
    window.scroll_to("Wake").await;
    save("model", &window.picture().await);

    desktop.click_at(ICON.0, ICON.1, "3").await;
    // The menu fades in, and the end of that cannot be observed.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let path = file("tray");
    desktop.picture(PART, path.to_str().unwrap()).await;
    println!("{}", path.display());
    drop(running);
    window.close().await;
}

async fn panel(desktop: &Desktop, folder: &tempfile::TempDir) -> [Process; 2] {
    let start = |name: &str, program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).envs(desktop.environment());
        Process::start(name, &mut command, folder.path())
    };
    let settings = start("xfconfd", "/usr/lib/x86_64-linux-gnu/xfce4/xfconf/xfconfd", &[]);
    for (name, kind, value) in PANEL {
        let mut command = Command::new("xfconf-query");
        command.args([
            "-c",
            "xfce4-panel",
            "-p",
            name,
            "-n",
            "-t",
            kind.trim_end_matches("-array"),
        ]);
        command.args(["-s", value]).envs(desktop.environment());
        if kind.ends_with("-array") {
            command.arg("-a");
        }
        testkit::until("the panel's settings are stored", async || {
            command.status().unwrap().success().then_some(())
        })
        .await;
    }
    [settings, start("xfce4-panel", "xfce4-panel", &["--disable-wm-check"])]
}

fn home(mcpd: &Mcpd, backend: &FakeBackend, asleep: &FakeBackend) -> Home {
    let wake =
        json!({"type": "command", "command": "systemctl", "args": ["--user", "start", "llama"]});
    let mut large = provider("llama-3.3-70b", &asleep.url);
    large["wake"] = wake;
    let mut own = provider("gemma-3", "http://127.0.0.1:11434");
    own["type"] = json!("ollama");
    own["publish"] = json!(false);
    let home = Home::default();
    let providers = [provider("qwen3-8b", &backend.url), large, own];
    let config = json!({
        "mcpdUrl": mcpd.url, "llm": {"providers": providers}, "mcplocal": {"startHidden": true},
    });
    home.write(&config.to_string());
    home
}

async fn chat(mcpd: &Mcpd, key: &str, tokens: u64) {
    let answer = json!({"usage": {"completion_tokens": tokens}}).to_string();
    let script = json!({"do": "status", "status": 200, "body": answer});
    let body: Value = json!({"model": "qwen3-8b", "messages": [], "x_script": script});
    let sent = mcpd.post("/v1/chat/completions", key).json(&body).send().await.unwrap();
    assert_eq!(sent.status(), 200);
}

fn file(name: &str) -> PathBuf {
    testkit::repository().join(format!("docs/pictures/{name}.png"))
}

fn save(name: &str, picture: &[u8]) {
    let path = file(name);
    std::fs::write(&path, picture).unwrap();
    println!("{}", path.display());
}
