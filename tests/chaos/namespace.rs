//! A network namespace of one test, in which packets can be dropped.

use serde_json::Value;
use std::ffi::OsStr;
use std::process::Command;
use tempfile::TempDir;
use testkit::agent::Home;
use testkit::process::{Process, program};

/// The server's port; every port of the namespace is free.
pub(crate) const PORT: u16 = 8080;

/// A namespace and a virtual cable to it. Server and agent run inside and connect over its loopback; the
/// test reaches the server through the cable.
pub(crate) struct Namespace {
    name: String,
    /// Third part of the cable's addresses; differs between tests that run at the same time.
    net: u8,
}

impl Namespace {
    /// Creates one; `None` if this machine does not permit it.
    pub(crate) fn new(net: u8) -> Option<Self> {
        let namespace = Self { name: format!("mcp{}n{net}", std::process::id()), net };
        let name = &namespace.name;
        let (outer, inner) = (format!("{name}o"), format!("{name}i"));
        let steps = [
            format!("ip netns add {name}"),
            format!("ip link add {outer} type veth peer name {inner} netns {name}"),
            format!("ip addr add 10.213.{net}.1/24 dev {outer}"),
            format!("ip link set {outer} up"),
            format!("ip -n {name} addr add 10.213.{net}.2/24 dev {inner}"),
            format!("ip -n {name} link set {inner} up"),
            format!("ip -n {name} link set lo up"),
        ];
        let all = steps.iter().all(|step| run(step));
        all.then_some(namespace)
    }

    /// URL of the server, as seen from the test.
    pub(crate) fn url(&self) -> String {
        format!("http://10.213.{}.2:{PORT}", self.net)
    }

    /// Command that runs a program in the namespace.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Starts mcpd in the namespace, with every time limit multiplied by `scale`.
    pub(crate) async fn server(&self, folder: &TempDir, scale: f64) -> Process {
        let mut command = self.command(program("mcpd"));
        command.arg("--data-dir").arg(folder.path()).args(["--listen", &format!("0.0.0.0:{PORT}")]);
        command.env("RUST_LOG", "mcpd=debug").env("MCPD_TIME_SCALE", scale.to_string());
        let server = Process::start("mcpd", &mut command, folder.path());
        let listens = async || server.stdout().contains("listening").then_some(());
        testkit::until("mcpd listens", listens).await;
        server
    }

    /// Starts an agent in the namespace, with its waits multiplied by `scale`.
    pub(crate) fn agent(&self, home: &Home, folder: &TempDir, scale: f64) -> Process {
        let mut command = self.command(program("mcplocal-agent"));
        command.arg("run").env("MCPCTL_HOME", home.file(".")).env("MCPCTL_KEYCHAIN", "off");
        command.env("MCPCTL_TOKEN", token(folder, "mia", "publish")).env("RUST_LOG", "debug");
        command.env("MCPCTL_TIME_SCALE", scale.to_string());
        Process::start("agent", &mut command, folder.path())
    }

    /// Silently drops incoming packets that match this iptables rule from now on; false if this machine
    /// does not permit it.
    pub(crate) fn drop_packets(&self, matching: &str) -> bool {
        run(&format!("ip netns exec {} iptables -A INPUT {matching} -j DROP", self.name))
    }

    /// Number of packets that were dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        let mut list = self.command("iptables");
        let listed = list.args(["-L", "INPUT", "-v", "-n", "-x"]).output().unwrap();
        let listed = String::from_utf8(listed.stdout).unwrap();
        let rules = listed.lines().filter(|line| line.contains("DROP"));
        rules.filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok()).sum()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        run(&format!("ip netns del {}", self.name));
    }
}

/// Creates a token of the server with this data folder.
pub(crate) fn token(folder: &TempDir, user: &str, scope: &str) -> String {
    let mut command = Command::new(program("mcpd"));
    command.arg("--data-dir").arg(folder.path());
    command.args(["token", "create", "--user", user, "--scope", scope, "--json"]);
    let created: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    created["token"].as_str().unwrap().to_owned()
}

/// Runs a command line; true if it succeeded.
fn run(line: &str) -> bool {
    let mut words = line.split(' ');
    let done = Command::new(words.next().unwrap()).args(words).output();
    done.is_ok_and(|output| output.status.success())
}
