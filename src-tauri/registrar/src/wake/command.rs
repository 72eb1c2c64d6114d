//! The `command` recipe: a program with arguments, never a shell, in a process group of its own.

use super::output::Output;
use super::{Recipes, WakeError};
use crate::config::CommandRecipe;
use crate::limits;
use process_wrap::tokio::{ChildWrapper, CommandWrap};
use std::ffi::OsString;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use wire::publisher::FailureCode;

/// Environment variables that a recipe may see, besides those with [`PASSED_PREFIXES`] and its own.
const PASSED: &[&str] =
    &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TMPDIR", "DISPLAY", "WAYLAND_DISPLAY"];
const PASSED_PREFIXES: &[&str] = &["LC_", "XDG_", "DBUS_"];
/// Variables without which Windows programs do not start.
#[cfg(windows)]
const PASSED_ON_WINDOWS: &[&str] =
    &["SYSTEMROOT", "APPDATA", "LOCALAPPDATA", "USERPROFILE", "PATHEXT"];
#[cfg(unix)]
const SIGTERM: i32 = 15;

/// Runs a command to its end. If the future is dropped before, its processes are terminated, and
/// killed a little later; [`Recipes::finish`] waits for that.
pub(super) async fn run(
    recipes: &Recipes,
    output: Output,
    recipe: &CommandRecipe,
    max_wait: Duration,
) -> Result<String, WakeError> {
    let stop = recipes.end.child_token();
    if stop.is_cancelled() {
        return Err(stopped());
    }
    let group = Group::start(recipe, &output).map_err(|error| {
        let program = &recipe.command;
        failed(format!("{program} could not be started: {error}"))
    })?;
    let _stop_when_dropped = stop.clone().drop_guard();
    let supervised = recipes.running.spawn(supervise(group, output, max_wait, stop));
    supervised.await.unwrap_or_else(|error| Err(failed(error.to_string())))
}

/// Waits for the program itself and not for its group: a daemon that it starts lives on.
async fn supervise(
    mut group: Group,
    output: Output,
    max_wait: Duration,
    stop: CancellationToken,
) -> Result<String, WakeError> {
    let status = tokio::select! {
        status = group.child.inner_mut().wait() => Some(status),
        () = tokio::time::sleep(max_wait) => None,
        () = stop.cancelled() => None,
        () = keep_output_bounded(&output) => None,
    };
    let Some(status) = status else {
        group.stop().await;
        if stop.is_cancelled() {
            return Err(stopped());
        }
        let secs = max_wait.as_secs();
        let detail = format!("the command did not end within {secs} s{}", output.quote());
        return Err(WakeError::new(FailureCode::RecipeTimeout, detail));
    };
    group.has_ended = true;
    check_status(status.map_err(|error| failed(error.to_string()))?, &output)
}

/// Never returns.
async fn keep_output_bounded(output: &Output) {
    loop {
        tokio::time::sleep(limits::RECIPE_LOG_EVERY).await;
        output.truncate().await;
    }
}

fn check_status(status: ExitStatus, output: &Output) -> Result<String, WakeError> {
    if status.success() {
        return Ok(output.end());
    }
    let how = status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"));
    Err(failed(format!("the command failed, {how}{}", output.quote())))
}

fn failed(detail: String) -> WakeError {
    WakeError::new(FailureCode::RecipeExit, detail)
}

fn stopped() -> WakeError {
    failed("the command was stopped before its end".into())
}

/// The processes of a command. They are terminated if it is dropped before the program has ended.
struct Group {
    child: Box<dyn ChildWrapper>,
    has_ended: bool,
}

impl Group {
    fn start(recipe: &CommandRecipe, output: &Output) -> io::Result<Self> {
        let (stdout, stderr) = output.open_for_run();
        let mut wrapped = CommandWrap::with_new(&recipe.command, |command| {
            command.args(&recipe.args).env_clear().envs(environment()).envs(&recipe.env);
            command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        });
        #[cfg(unix)]
        wrapped.wrap(process_wrap::tokio::ProcessGroup::leader());
        #[cfg(windows)]
        wrapped.wrap(process_wrap::tokio::JobObject);
        Ok(Self { child: wrapped.spawn()?, has_ended: false })
    }

    /// Sends TERM to the whole group, and KILL to what is left of it [`limits::RECIPE_KILL`] later.
    async fn stop(&mut self) {
        #[cfg(unix)]
        let group = self.child.id();
        self.terminate();
        #[cfg(unix)]
        if tokio::time::timeout(limits::RECIPE_KILL, self.wait_for_group(group)).await.is_ok() {
            self.has_ended = true;
            return;
        }
        let _ = self.child.start_kill();
        let _ = tokio::time::timeout(limits::RECIPE_REAP, self.child.inner_mut().wait()).await;
        self.has_ended = true;
    }

    /// Waits until no process of the group is left.
    #[cfg(unix)]
    async fn wait_for_group(&mut self, group: Option<u32>) {
        let _ = self.child.inner_mut().wait().await;
        let group = group.and_then(|id| i32::try_from(id).ok()).map(nix::unistd::Pid::from_raw);
        while group.is_some_and(|group| nix::sys::signal::killpg(group, None).is_ok()) {
            tokio::time::sleep(limits::RECIPE_POLL).await;
        }
    }

    fn terminate(&mut self) {
        #[cfg(unix)]
        let _ = self.child.signal(SIGTERM);
        #[cfg(not(unix))]
        let _ = self.child.start_kill();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.has_ended {
            self.terminate();
        }
    }
}

/// The variables that a recipe may see; their values need not be UTF-8.
fn environment() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| {
        let Some(name) = name.to_str() else { return false };
        #[cfg(windows)]
        if PASSED_ON_WINDOWS.contains(&name.to_ascii_uppercase().as_str()) {
            return true;
        }
        PASSED.contains(&name) || PASSED_PREFIXES.iter().any(|p| name.starts_with(p))
    })
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::super::{Recipes, WakeError};
    use crate::config::CommandRecipe;
    use crate::home::Home;
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::time::Duration;
    use tokio::time::Instant;
    use wire::publisher::FailureCode;

    fn sh(script: &str) -> CommandRecipe {
        let args = vec!["-c".to_owned(), script.to_owned()];
        CommandRecipe { command: "sh".into(), args, env: BTreeMap::new() }
    }

    /// Runs a command with its output in a temporary folder.
    async fn run(recipe: &CommandRecipe, max_wait: Duration) -> Result<String, WakeError> {
        let dir = tempfile::tempdir().unwrap();
        let recipes = Recipes::new(&Home::at(dir.path()).unwrap());
        let output = super::run(&recipes, recipes.output("wake", "a"), recipe, max_wait).await;
        recipes.finish().await;
        output
    }

    /// Waits until the process has ended.
    async fn gone(pid: &str) {
        let stat = Path::new("/proc").join(pid.trim()).join("stat");
        let ended = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
        let deadline = Instant::now() + Duration::from_secs(5);
        while !ended() {
            assert!(Instant::now() < deadline, "the child of the recipe lives");
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_failed_command_reports_its_exit_code_and_the_end_of_its_output() {
        let error = run(&sh("echo no such unit >&2; exit 7"), Duration::from_secs(9)).await;
        let error = error.unwrap_err();
        assert_eq!(error.code, FailureCode::RecipeExit);
        assert!(error.detail.contains("exit code 7") && error.detail.contains("no such unit"));
    }

    #[tokio::test]
    async fn a_command_that_starts_a_daemon_ends_at_once_and_the_daemon_lives() {
        let began = Instant::now();
        let output = run(&sh("sleep 30 & echo $!"), Duration::from_secs(20)).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(5), "it waited for the daemon");
        let pid = output.trim().to_owned();
        let alive = Path::new("/proc").join(&pid).exists();
        let killed = std::process::Command::new("kill").arg(&pid).status().unwrap();
        assert!(alive && killed.success());
    }

    #[tokio::test]
    async fn a_command_that_takes_too_long_is_stopped_with_its_whole_group() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("sleep 60 & echo $! > {}; wait", file.display());
        let error = run(&sh(&script), Duration::from_millis(500)).await.unwrap_err();
        assert_eq!(error.code, FailureCode::RecipeTimeout);
        gone(&std::fs::read_to_string(file).unwrap()).await;
    }

    #[tokio::test]
    async fn a_dropped_command_is_terminated_with_its_whole_group() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let recipe =
            sh(&format!("sleep 60 & echo $! > {0}.new; mv {0}.new {0}; wait", file.display()));
        let begun = async {
            while !file.exists() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = run(&recipe, Duration::from_secs(60)) => panic!("it waits"),
            () = begun => {}
        }
        gone(&std::fs::read_to_string(file).unwrap()).await;
    }

    #[tokio::test]
    async fn a_command_sees_its_declared_environment_and_not_that_of_this_process() {
        let mut recipe = sh("echo $OURS-$CARGO_MANIFEST_DIR-$PATH");
        recipe.env.insert("OURS".into(), "yes".into());
        let output = run(&recipe, Duration::from_secs(9)).await.unwrap();
        assert!(output.starts_with("yes--/"), "{output}");
    }

    #[tokio::test]
    async fn a_command_that_ignores_sigterm_is_killed_before_the_program_ends() {
        let dir = tempfile::tempdir().unwrap();
        let recipes = Recipes::new(&Home::at(dir.path()).unwrap());
        let file = dir.path().join("pid");
        let stubborn = sh(&format!(
            "trap '' TERM; echo $$ > {0}.new; mv {0}.new {0}; while :; do sleep 0.1; done",
            file.display()
        ));
        let run =
            super::run(&recipes, recipes.output("wake", "a"), &stubborn, Duration::from_secs(60));
        let begun = async {
            while !file.exists() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = run => panic!("it never ends by itself"),
            () = begun => {}
        }
        let asked = Instant::now();
        recipes.finish().await;
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
        gone(&std::fs::read_to_string(file).unwrap()).await;
        let (late, output) = (sh("true"), recipes.output("wake", "a"));
        let late = super::run(&recipes, output, &late, Duration::from_secs(9)).await;
        assert!(late.is_err(), "none begins after the end");
    }
}
