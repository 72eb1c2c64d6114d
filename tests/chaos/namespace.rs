//! A network namespace of one test, in which packets can be dropped.

use serde_json::Value;
use std::ffi::OsStr;
use std::process::Command;
use tempfile::TempDir;
use testkit::agent::Home;
use testkit::certificate::Certificate;
use testkit::process::{Process, program};

/// The server's port; every port of the namespace is free.
pub(crate) const PORT: u16 = 8080;

/// A cable between two namespaces.
pub(crate) struct Cable {
    /// Name of its device in the namespace that it was made in.
    here: String,
    /// Address of the other end.
    pub(crate) server: String,
}

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

    /// A second virtual cable, from this namespace to another one; `None` if this machine does not
    /// permit it.
    pub(crate) fn cable_to(&self, other: &Self) -> Option<Cable> {
        let (here, there) = (format!("{}a", self.name), format!("{}b", self.name));
        let server = format!("10.214.{}.1", self.net);
        let steps = [
            format!("ip link add {here} type veth peer name {there} netns {}", other.name),
            format!("ip link set {here} netns {}", self.name),
            format!("ip -n {} addr add {server}/24 dev {there}", other.name),
            format!("ip -n {} link set {there} up", other.name),
            format!("ip -n {} addr add 10.214.{}.2/24 dev {here}", self.name, self.net),
            format!("ip -n {} link set {here} up", self.name),
        ];
        steps.iter().all(|step| run(step)).then_some(Cable { here, server })
    }

    /// Takes this namespace's address on the cable away and gives it another one.
    pub(crate) fn change_address(&self, cable: &Cable) -> bool {
        let (name, net, here) = (&self.name, self.net, &cable.here);
        run(&format!("ip -n {name} addr del 10.214.{net}.2/24 dev {here}"))
            && run(&format!("ip -n {name} addr add 10.214.{net}.3/24 dev {here}"))
    }

    /// URL of the server, as seen from the test.
    pub(crate) fn url(&self) -> String {
        format!("http://{}:{PORT}", self.address())
    }

    /// Address of the namespace, as seen from the test.
    pub(crate) fn address(&self) -> String {
        format!("10.213.{}.2", self.net)
    }

    /// Command that runs a program in the namespace.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Starts mcpd in the namespace, with every time limit multiplied by `scale`.
    pub(crate) async fn server(&self, folder: &TempDir, scale: f64) -> Process {
        self.start_server(self.command(program("mcpd")), folder, scale).await
    }

    /// As [`Self::server`], with TLS.
    pub(crate) async fn server_with_tls(&self, folder: &TempDir, tls: &Certificate) -> Process {
        let mut command = self.command(program("mcpd"));
        command.arg("--tls-cert").arg(tls.file()).arg("--tls-key").arg(tls.key());
        self.start_server(command, folder, 1.0).await
    }

    async fn start_server(&self, mut command: Command, folder: &TempDir, scale: f64) -> Process {
        command.arg("--data-dir").arg(folder.path()).args(["--listen", &format!("0.0.0.0:{PORT}")]);
        command.env("RUST_LOG", "mcpd=debug").env("MCPD_TIME_SCALE", scale.to_string());
        let server = Process::start("mcpd", &mut command, folder.path());
        let listens = async || server.stdout().contains("listening").then_some(());
        testkit::until("mcpd listens", listens).await;
        server
    }

    /// Starts an agent in the namespace, with its waits multiplied by `scale`.
    pub(crate) fn agent(&self, home: &Home, folder: &TempDir, scale: f64) -> Process {
        let mut command = self.agent_command(home, folder);
        command.env("MCPCTL_TIME_SCALE", scale.to_string());
        Process::start("agent", &mut command, folder.path())
    }

    /// Starts an agent in the namespace that trusts this certificate of its server.
    pub(crate) fn agent_with_tls(
        &self,
        home: &Home,
        folder: &TempDir,
        tls: &Certificate,
    ) -> Process {
        let mut command = self.agent_command(home, folder);
        command.env("MCPCTL_TIME_SCALE", "1").env("MCPCTL_CA_FILE", tls.file());
        Process::start("agent", &mut command, folder.path())
    }

    fn agent_command(&self, home: &Home, folder: &TempDir) -> Command {
        let mut command = self.command(program("mcplocal-agent"));
        command.arg("run").env("MCPCTL_HOME", home.file(".")).env("MCPCTL_KEYCHAIN", "off");
        command.env("MCPCTL_TOKEN", token(folder, "mia", "publish")).env("RUST_LOG", "debug");
        command
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
