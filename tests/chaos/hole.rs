//! A black hole: packets vanish and nobody says so. In a network namespace of the test.

use e2e::agent::{Home, provider};
use e2e::figure::{figure, ms};
use e2e::process::{Process, program};
use serde_json::Value;
use std::ffi::OsStr;
use std::process::Command;
use std::time::Duration;
use tokio::time::Instant;

const HOST: &str = "10.213.77.1";
/// Inside of a namespace of its own every port is free.
const PORT: u16 = 8080;
const GUEST: &str = "10.213.77.2";

/// A namespace with a wire to it. Server and agent live inside.
struct Namespace(String);

impl Namespace {
    /// `None`, with word of it, where this machine does not let us.
    fn new() -> Option<Self> {
        let name = format!("mcp{}", std::process::id());
        let namespace = Self(name.clone());
        let (outer, inner) = (format!("{name}o"), format!("{name}i"));
        let steps = [
            format!("ip netns add {name}"),
            format!("ip link add {outer} type veth peer name {inner} netns {name}"),
            format!("ip addr add {HOST}/24 dev {outer}"),
            format!("ip link set {outer} up"),
            format!("ip -n {name} addr add {GUEST}/24 dev {inner}"),
            format!("ip -n {name} link set {inner} up"),
            format!("ip -n {name} link set lo up"),
        ];
        let all = steps.iter().all(|step| run(step));
        if !all {
            figure("black hole", "skipped: no network namespaces here", "≤ 36 s, ≤ 45 s");
        }
        all.then_some(namespace)
    }

    /// A program inside.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0]).arg(program);
        command
    }

    /// From now on nothing passes between the programs inside, and nobody is told.
    fn swallow(&self) -> bool {
        run(&format!("ip netns exec {} iptables -A INPUT -i lo -j DROP", self.0))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        run(&format!("ip netns del {}", self.0));
    }
}

fn run(line: &str) -> bool {
    let mut words = line.split(' ');
    let done = Command::new(words.next().unwrap()).args(words).output();
    done.is_ok_and(|output| output.status.success())
}

#[tokio::test]
async fn both_sides_notice_a_black_hole_in_time() {
    let Some(namespace) = Namespace::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    // Inside they speak over the namespace's own loopback; the test looks in through the wire.
    let mut command = namespace.command(program("mcpd"));
    command.arg("--data-dir").arg(folder.path()).args(["--listen", &format!("0.0.0.0:{PORT}")]);
    let server = Process::start("mcpd", &mut command, folder.path());
    e2e::until("mcpd listens", async || server.out().contains("listening").then_some(())).await;
    let token = |user: &str, scope: &str| {
        let mut command = Command::new(program("mcpd"));
        command.arg("--data-dir").arg(folder.path());
        command.args(["token", "create", "--user", user, "--scope", scope, "--json"]);
        let made: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        made["token"].as_str().unwrap().to_owned()
    };
    let caller = token("tom", "infer");
    let home =
        Home::with(&format!("http://127.0.0.1:{PORT}"), &[provider("qwen", "http://127.0.0.1:9")]);
    let mut command = namespace.command(program("mcplocal-agent"));
    command.arg("run").env("MCPCTL_HOME", home.file(".")).env("MCPCTL_KEYCHAIN", "off");
    command.env("MCPCTL_TOKEN", token("mia", "publish")).env("RUST_LOG", "info");
    let _agent = Process::start("agent", &mut command, folder.path());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let connected = async || {
        let url = format!("http://{GUEST}:{PORT}/api/v1/llms/qwen");
        let row = client.get(url).bearer_auth(&caller).send().await.ok()?;
        row.json::<Value>().await.ok()?["connected"].as_bool()
    };
    e2e::until("it is published", async || connected().await.filter(|there| *there)).await;
    home.shows("online", |status| status["connection"]["state"] == "online").await;
    if !namespace.swallow() {
        return figure("black hole", "skipped: no iptables here", "≤ 36 s, ≤ 45 s");
    }
    let swallowed = Instant::now();
    let freed = e2e::within(Duration::from_secs(60), "the server frees the channel", async || {
        connected().await.filter(|there| !there).map(|_| swallowed.elapsed())
    });
    let noticed = e2e::within(Duration::from_secs(80), "the publisher notices", async || {
        let online = home.status()["connection"]["state"] == "online";
        (!online).then_some(swallowed.elapsed())
    });
    let (freed, noticed) = tokio::join!(freed, noticed);
    figure("black hole: the server frees the channel after", ms(freed), "≤ 36 s");
    figure("black hole: the publisher notices after", ms(noticed), "≤ 45 s");
    assert!(freed <= Duration::from_secs(40), "{freed:?}");
    assert!(noticed <= Duration::from_secs(50), "{noticed:?}");
}
