//! A process of ours: its log is kept, and it never outlives its test.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// A running process. Dropping it kills it and, when the test fails, shows what it said.
pub struct Process {
    name: String,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Process {
    /// Starts `command`; what it prints goes to files in `folder`.
    #[must_use]
    pub fn start(name: &str, command: &mut Command, folder: &Path) -> Self {
        Self::start_with(name, command, folder, "")
    }

    /// As [`Self::start`], with this on its stdin.
    #[must_use]
    pub fn start_with(name: &str, command: &mut Command, folder: &Path, input: &str) -> Self {
        let mut stdin = tempfile::tempfile().unwrap();
        stdin.write_all(input.as_bytes()).unwrap();
        stdin.rewind().unwrap();
        let (out, err) = (folder.join(format!("{name}.out")), folder.join(format!("{name}.err")));
        let append = |path| File::options().create(true).append(true).open(path).unwrap();
        let child = command
            .stdin(stdin)
            .stdout(append(&out))
            .stderr(append(&err))
            .spawn()
            .unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        Self { name: name.to_owned(), child, out, err }
    }

    /// Its id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed.
    #[must_use]
    pub fn out(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap_or_default()
    }

    /// What it has logged.
    #[must_use]
    pub fn err(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap_or_default()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Sends a signal, as `TERM`.
    pub fn signal(&self, name: &str) {
        let signal = format!("-{name}");
        let sent = Command::new("kill").args([&signal, &self.pid().to_string()]).status();
        assert!(sent.unwrap().success(), "{} is gone already", self.name);
    }

    /// Kills it without a warning and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end and waits.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        crate::until("the process ends", async || self.child.try_wait().unwrap()).await
    }

    /// How many of its sockets listen for connections.
    #[must_use]
    pub fn listening(&self) -> usize {
        const LISTEN: &str = "0A";
        let folder = format!("/proc/{}/fd", self.pid());
        let own: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok())
            .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.to_owned()))
            .map(|link| link.trim_end_matches(']').to_owned())
            .collect();
        let tables = ["tcp", "tcp6"].map(|table| format!("/proc/{}/net/{table}", self.pid()));
        let lines: String = tables.map(|table| std::fs::read_to_string(table).unwrap()).concat();
        let listens = |line: &&str| {
            let fields: Vec<_> = line.split_whitespace().collect();
            fields.len() > 9 && fields[3] == LISTEN && own.iter().any(|inode| inode == fields[9])
        };
        lines.lines().filter(listens).count()
    }

    /// The libraries that it has loaded.
    #[must_use]
    pub fn libraries(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/maps", self.pid())).unwrap()
    }

    /// What it holds of the machine's memory, in bytes.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: Option<i32>,
    /// What it printed.
    pub out: String,
    /// What it complained of.
    pub err: String,
}

impl Ended {
    /// What it printed; it must have succeeded.
    pub fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// What it complained of; it must have failed.
    pub fn bad(self) -> String {
        assert!(self.code.is_some_and(|code| code != 0), "{self:?}");
        self.err
    }
}

/// Runs a command to its end, with this on its stdin.
pub fn finish(mut command: Command, input: &str) -> impl Future<Output = Ended> + use<> {
    let input = input.to_owned();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    async move { wait(command, input).await }
}

async fn wait(mut command: Command, input: String) -> Ended {
    let ended = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        // One that reads nothing may have ended before it could.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    });
    let output = tokio::time::timeout(crate::PATIENCE, ended).await.unwrap().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// A program of ours as a person types it.
pub trait CommandLine {
    /// It with these arguments.
    fn prepare(&self, arguments: &[&str]) -> Command;

    /// Runs it to its end.
    fn run(&self, arguments: &[&str]) -> impl Future<Output = Ended> {
        self.run_with(arguments, "", &[])
    }

    /// As [`Self::run`], with this on its stdin and these environment variables.
    fn run_with(
        &self,
        arguments: &[&str],
        input: &str,
        environment: &[(&str, &str)],
    ) -> impl Future<Output = Ended> {
        let mut command = self.prepare(arguments);
        command.envs(environment.iter().copied());
        finish(command, input)
    }
}

/// Waits until a process that is not ours has ended.
pub async fn gone(pid: &str) {
    crate::until("the process is gone", async || is_gone(pid).then_some(())).await;
}

/// Whether a process that is not ours has ended; nobody may have taken note of its end yet.
#[must_use]
pub fn is_gone(pid: &str) -> bool {
    let stat = Path::new("/proc").join(pid.trim()).join("stat");
    std::fs::read_to_string(stat).map_or(true, |stat| stat.contains(") Z "))
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let (name, err) = (&self.name, self.err());
            let lines: Vec<_> = err.lines().rev().take(60).collect();
            let tail: Vec<_> = lines.into_iter().rev().collect();
            // The test's own output, shown when it fails.
            #[expect(clippy::print_stderr, reason = "what is left of a failed test")]
            {
                eprintln!("--- {name} ---\n{}", tail.join("\n"));
            }
        }
    }
}

/// One of our programs, built beside this test or this program.
///
/// # Panics
/// It is not built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let mut places = own.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    let found = places.find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: run `cargo build --bins` first"))
}
