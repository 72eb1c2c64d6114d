//! Child processes: their output is stored in files, and they never outlive their test.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// A running process. Dropping it kills it and, if the test fails, prints the end of its log.
pub struct Process {
    name: String,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Process {
    /// Starts `command`; its output goes to files in `folder`.
    #[must_use]
    pub fn start(name: &str, command: &mut Command, folder: &Path) -> Self {
        Self::start_with(name, command, folder, "")
    }

    /// As [`Self::start`], with `input` on its stdin.
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

    /// Its stdout so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap_or_default()
    }

    /// Its stderr so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap_or_default()
    }

    /// Its exit status; `None` while it runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Sends a signal, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let signal = format!("-{name}");
        let sent = Command::new("kill").args([&signal, &self.pid().to_string()]).status();
        assert!(sent.unwrap().success(), "{} has already exited", self.name);
    }

    /// Sends SIGKILL and waits for its end.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends SIGTERM and waits for its end.
    pub async fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        crate::until("the process exits after SIGTERM", async || self.child.try_wait().unwrap())
            .await
    }

    /// Number of its sockets that listen for connections.
    #[must_use]
    pub fn listening_sockets(&self) -> usize {
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

    /// Its memory map, which names the loaded libraries.
    #[must_use]
    pub fn libraries(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/maps", self.pid())).unwrap()
    }

    /// Its resident memory, in bytes.
    #[must_use]
    pub fn resident_memory(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

/// Exit code and output of a finished command.
#[derive(Debug)]
pub struct CommandOutput {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Stdout.
    pub stdout: String,
    /// Stderr.
    pub stderr: String,
}

impl CommandOutput {
    /// Its stdout.
    ///
    /// # Panics
    /// The command failed.
    pub fn expect_success(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// Its stderr.
    ///
    /// # Panics
    /// The command succeeded.
    pub fn expect_failure(self) -> String {
        assert!(self.code.is_some_and(|code| code != 0), "{self:?}");
        self.stderr
    }
}

/// Runs a command to its end, with `input` on its stdin.
pub fn run_to_end(
    mut command: Command,
    input: &str,
) -> impl Future<Output = CommandOutput> + use<> {
    let input = input.to_owned();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    async move { wait(command, input).await }
}

async fn wait(mut command: Command, input: String) -> CommandOutput {
    let ended = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        // Fails if the command exits without reading its stdin.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    });
    let output = tokio::time::timeout(crate::TIMEOUT, ended).await.unwrap().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    CommandOutput {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// The same command, run by a tool such as a profiler: its program and arguments come first.
#[must_use]
pub fn run_by(tool: &[String], command: &Command) -> Command {
    let (program, arguments) = tool.split_first().expect("a tool has a program");
    let mut wrapped = Command::new(program);
    wrapped.args(arguments).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    wrapped
}

/// A program with a command line.
pub trait CommandLine {
    /// The program with these arguments.
    fn command(&self, arguments: &[&str]) -> Command;

    /// Runs it to its end.
    fn run(&self, arguments: &[&str]) -> impl Future<Output = CommandOutput> {
        self.run_with(arguments, "", &[])
    }

    /// As [`Self::run`], with `input` on its stdin and these environment variables.
    fn run_with(
        &self,
        arguments: &[&str],
        input: &str,
        environment: &[(&str, &str)],
    ) -> impl Future<Output = CommandOutput> {
        let mut command = self.command(arguments);
        command.envs(environment.iter().copied());
        run_to_end(command, input)
    }
}

/// Waits for the end of a process that is not a child of the test.
pub async fn until_exited(pid: &str) {
    crate::until(&format!("process {pid} has exited"), async || has_exited(pid).then_some(()))
        .await;
}

/// True if a process that is not a child of the test has exited; it may still be a zombie.
#[must_use]
pub fn has_exited(pid: &str) -> bool {
    let stat = Path::new("/proc").join(pid.trim()).join("stat");
    std::fs::read_to_string(stat).map_or(true, |stat| stat.contains(") Z "))
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let (name, err) = (&self.name, self.stderr());
            let lines: Vec<_> = err.lines().rev().take(60).collect();
            let tail: Vec<_> = lines.into_iter().rev().collect();
            #[expect(clippy::print_stderr, reason = "shown with a failed test")]
            {
                eprintln!("--- {name} ---\n{}", tail.join("\n"));
            }
        }
    }
}

/// Path of a program of this workspace, in the folder where this test was built.
///
/// # Panics
/// The program is not built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let mut places = own.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    let found = places.find(|program| program.is_file());
    found.unwrap_or_else(|| panic!("{name} is missing: run `cargo build --bins` first"))
}
