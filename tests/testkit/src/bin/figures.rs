//! Measures memory, idle CPU and start times of the tray app on a desktop of `testkit`, and prints them
//! beside the committed figures. `--keep` writes them to docs/desktop-figures.json.
//!
//! `MCPLOCAL_APP` names the program to measure; `scripts/figures.sh` builds it.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a developer tool")]

use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::time::Duration;
use testkit::agent::{Home, provider};
use testkit::desktop::panel::{Icon, Panel};
use testkit::desktop::{App, Desktop};
use testkit::fake_backend::FakeBackend;
use testkit::mcpd::Mcpd;
use testkit::resource_usage::{cpu, memory};
use tokio::time::{Instant, sleep};

/// Starts that are timed; the median counts.
const STARTS: usize = 5;
/// Rounds of window open and closed.
const ROUNDS: usize = 3;
/// Pause after a change, before memory is measured.
const SETTLE: Duration = Duration::from_secs(5);
/// Time over which idle CPU is measured.
const IDLE: Duration = Duration::from_secs(60);
const TITLE: &str = "mcplocal";

#[tokio::main]
async fn main() {
    let mut figures = Map::new();
    let setup = Setup::new().await;
    let starts = setup.measure_starts().await;
    figures.insert("start to tray, ms".into(), json!(median(starts)));
    setup.measure_run(&mut figures).await;
    report(&figures);
    if std::env::args().any(|argument| argument == "--keep") {
        let text = serde_json::to_string_pretty(&Value::Object(figures)).unwrap();
        std::fs::write(file(), text + "\n").unwrap();
    }
}

struct Setup {
    desktop: Desktop,
    mcpd: Mcpd,
    home: Home,
    token: String,
    _backend: FakeBackend,
}

impl Setup {
    async fn new() -> Self {
        let (desktop, mcpd, backend) =
            (Desktop::bare().await, Mcpd::start().await, FakeBackend::awake().await);
        let home = Home::default();
        let config = json!({
            "mcpdUrl": mcpd.url, "llm": {"providers": [provider("qwen", &backend.url)]},
            "mcplocal": {"startHidden": true},
        });
        home.write(&config.to_string());
        let token = mcpd.token("mia", "publish");
        Self { desktop, mcpd, home, token, _backend: backend }
    }

    fn start(&self) -> App {
        // Real time scale and the default log level.
        let more =
            [("MCPCTL_TOKEN", &*self.token), ("MCPCTL_TIME_SCALE", "1"), ("RUST_LOG", "info")];
        App::at_login(&self.desktop, &self.home, &more)
    }

    async fn measure_starts(&self) -> Vec<f64> {
        let mut took = Vec::new();
        for _ in 0..STARTS {
            let panel = Panel::start(&self.desktop.keyring.bus.address).await;
            let began = Instant::now();
            let mut app = self.start();
            let _icon = panel.icon().await;
            took.push(ms(began));
            app.process.stop().await;
            panel.stop().await;
        }
        took
    }

    async fn measure_run(&self, figures: &mut Map<String, Value>) {
        let panel = Panel::start(&self.desktop.keyring.bus.address).await;
        let app = self.start();
        let icon = panel.icon().await;
        self.mcpd.until_active(&self.mcpd.token("tom", "infer"), "qwen").await;
        let pid = app.process.pid();
        sleep(SETTLE).await;
        figures.insert("tray only, MiB".into(), json!(memory(pid)));
        println!("measuring idle CPU for {} s", IDLE.as_secs());
        let before = cpu(pid);
        sleep(IDLE).await;
        let share = (cpu(pid) - before) / IDLE.as_secs_f64() * 100.0;
        figures.insert("idle, % of one CPU".into(), json!((share * 100.0).round() / 100.0));
        let mut opened = Vec::new();
        for round in 0..ROUNDS {
            opened.push(self.time_to_window(&icon).await);
            sleep(SETTLE).await;
            if round == 0 {
                figures.insert("window open, MiB".into(), json!(memory(pid)));
            }
            let window = self.desktop.until_windows(TITLE, 1).await.remove(0);
            self.desktop.close(&window).await;
            self.desktop.until_windows(TITLE, 0).await;
            sleep(SETTLE).await;
        }
        figures.insert("window closed again, MiB".into(), json!(memory(pid)));
        figures.insert("click to first window, ms".into(), json!(opened[0].round()));
        figures.insert("click to window again, ms".into(), json!(median(opened[1..].to_vec())));
    }

    async fn time_to_window(&self, icon: &Icon) -> f64 {
        let began = Instant::now();
        icon.activate().await;
        self.desktop.until_windows(TITLE, 1).await;
        ms(began)
    }
}

fn ms(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1000.0
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2].round()
}

fn file() -> PathBuf {
    testkit::repository().join("docs/desktop-figures.json")
}

fn report(figures: &Map<String, Value>) {
    let text = std::fs::read_to_string(file()).unwrap_or_default();
    let last: Value = serde_json::from_str(&text).unwrap_or_default();
    let tray = figures["tray only, MiB"].as_f64().unwrap();
    let targets = [
        ("start to tray, ms", 300.0),
        ("tray only, MiB", 60.0),
        ("idle, % of one CPU", 0.1),
        ("window open, MiB", f64::NAN),
        ("window closed again, MiB", tray + 25.0),
        ("click to first window, ms", 400.0),
        ("click to window again, ms", 400.0),
    ];
    println!("{:28} {:>8} {:>8} {:>8}", "", "target", "last", "now");
    for (name, target) in targets {
        let now = figures[name].as_f64().unwrap();
        let last = last[name].as_f64().map_or_else(|| "-".to_owned(), |last| last.to_string());
        let (shown, missed) = if target.is_nan() {
            ("-".to_owned(), "")
        } else {
            (format!("{target:.1}"), if now > target { "  missed" } else { "" })
        };
        println!("{name:28} {shown:>8} {last:>8} {now:>8}{missed}");
    }
}
