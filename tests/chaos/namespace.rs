//! A network namespace of a test's own, where packets can be lost.

use serde_json::Value;
use std::ffi::OsStr;
use std::process::Command;
use tempfile::TempDir;
use testkit::agent::Home;
use testkit::process::{Process, program};

/// Inside of a namespace of its own every port is free.
pub(crate) const PORT: u16 = 8080;

/// A namespace with a wire to it. Server and publisher live inside and speak over its own loopback;
/// the test looks in through the wire.
pub(crate) struct Namespace {
    name: String,
    /// The third part of the wire's addresses: tests that run beside each other have others.
    net: u8,
}

impl Namespace {
    /// `None` where this machine does not let us.
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

    /// The server inside, as the test sees it.
    pub(crate) fn url(&self) -> String {
        format!("http://10.213.{}.2:{PORT}", self.net)
    }

    /// A program inside.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Starts mcpd inside.
    pub(crate) async fn server(&self, folder: &TempDir) -> Process {
        let mut command = self.command(program("mcpd"));
        command.arg("--data-dir").arg(folder.path()).args(["--listen", &format!("0.0.0.0:{PORT}")]);
        command.env("RUST_LOG", "mcpd=debug");
        let server = Process::start("mcpd", &mut command, folder.path());
        testkit::until("mcpd listens", async || server.out().contains("listening").then_some(()))
            .await;
        server
    }

    /// Starts an agent inside.
    pub(crate) fn agent(&self, home: &Home, folder: &TempDir) -> Process {
        let mut command = self.command(program("mcplocal-agent"));
        command.arg("run").env("MCPCTL_HOME", home.file(".")).env("MCPCTL_KEYCHAIN", "off");
        command.env("MCPCTL_TOKEN", token(folder, "mia", "publish")).env("RUST_LOG", "debug");
        Process::start("agent", &mut command, folder.path())
    }

    /// From now on such packets that arrive inside are dropped, and nobody is told; false where
    /// this machine does not let us.
    pub(crate) fn drops(&self, such: &str) -> bool {
        run(&format!("ip netns exec {} iptables -A INPUT {such} -j DROP", self.name))
    }

    /// How many packets were dropped so far.
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

/// A token of the server in this folder.
pub(crate) fn token(folder: &TempDir, user: &str, scope: &str) -> String {
    let mut command = Command::new(program("mcpd"));
    command.arg("--data-dir").arg(folder.path());
    command.args(["token", "create", "--user", user, "--scope", scope, "--json"]);
    let made: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    made["token"].as_str().unwrap().to_owned()
}

fn run(line: &str) -> bool {
    let mut words = line.split(' ');
    let done = Command::new(words.next().unwrap()).args(words).output();
    done.is_ok_and(|output| output.status.success())
}
