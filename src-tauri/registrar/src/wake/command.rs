//! The `command` recipe: a program with arguments, never a shell, in a process group of its own.

use super::WakeError;
use crate::config::CommandRecipe;
use crate::limits;
use process_wrap::tokio::{ChildWrapper, CommandWrap};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::task::JoinSet;

/// Environment variables that a recipe may see, beside those with [`KEEP_PREFIXES`] and its own.
const KEEP: &[&str] =
    &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TMPDIR", "DISPLAY", "WAYLAND_DISPLAY"];
const KEEP_PREFIXES: &[&str] = &["LC_", "XDG_", "DBUS_"];
/// What Windows programs need to start at all.
#[cfg(windows)]
const KEEP_WINDOWS: &[&str] = &["SYSTEMROOT", "APPDATA", "LOCALAPPDATA", "USERPROFILE", "PATHEXT"];
#[cfg(unix)]
const SIGTERM: i32 = 15;

pub(super) async fn run(recipe: &CommandRecipe, max_wait: Duration) -> Result<String, WakeError> {
    let mut wrapped = CommandWrap::with_new(&recipe.command, |command| {
        command.args(&recipe.args).env_clear().envs(environment()).envs(&recipe.env);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    });
    #[cfg(unix)]
    wrapped.wrap(process_wrap::tokio::ProcessGroup::leader());
    #[cfg(windows)]
    wrapped.wrap(process_wrap::tokio::JobObject);
    let child = wrapped.spawn().map_err(|error| {
        let program = &recipe.command;
        WakeError::new("recipe_exit", format!("{program} could not be started: {error}"))
    })?;
    let mut group = Group { child, ended: false };
    let child = &mut group.child;
    let output = Output::default();
    let mut pipes = JoinSet::new();
    if let Some(out) = child.stdout().take() {
        pipes.spawn(output.clone().collect(out));
    }
    if let Some(err) = child.stderr().take() {
        pipes.spawn(output.clone().collect(err));
    }
    // Of the group only the program itself is waited for: a daemon that it leaves behind lives on.
    let ended = tokio::time::timeout(max_wait, child.inner_mut().wait()).await;
    let status = match ended {
        Ok(status) => {
            group.ended = true;
            status.map_err(|e| WakeError::new("recipe_exit", e.to_string()))?
        }
        Err(_) => {
            group.stop().await;
            let secs = max_wait.as_secs();
            let detail = format!("the command did not end within {secs} s{}", output.tail());
            return Err(WakeError::new("recipe_timeout", detail));
        }
    };
    // The daemon may hold the pipes open for ever.
    let _ = tokio::time::timeout(limits::RECIPE_PIPES, async {
        while pipes.join_next().await.is_some() {}
    })
    .await;
    judge(status, &output)
}

fn judge(status: ExitStatus, output: &Output) -> Result<String, WakeError> {
    if status.success() {
        return Ok(output.text());
    }
    let how = status.code().map_or_else(|| status.to_string(), |code| format!("exit code {code}"));
    Err(WakeError::new("recipe_exit", format!("the command failed, {how}{}", output.tail())))
}

/// The recipe's processes. Dropped before the program has ended, because publishing stops or a
/// person who tried it left, they are told to end.
struct Group {
    child: Box<dyn ChildWrapper>,
    ended: bool,
}

impl Group {
    /// TERM to the whole group, a while later KILL.
    async fn stop(&mut self) {
        self.terminate();
        #[cfg(unix)]
        if tokio::time::timeout(limits::RECIPE_KILL, self.child.wait()).await.is_ok() {
            self.ended = true;
            return;
        }
        let _ = self.child.start_kill();
        let _ = tokio::time::timeout(limits::RECIPE_KILL, self.child.wait()).await;
        self.ended = true;
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
        if !self.ended {
            self.terminate();
        }
    }
}

fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars().filter(|(name, _)| {
        #[cfg(windows)]
        if KEEP_WINDOWS.contains(&name.to_ascii_uppercase().as_str()) {
            return true;
        }
        KEEP.contains(&name.as_str()) || KEEP_PREFIXES.iter().any(|p| name.starts_with(p))
    })
}

/// The end of what the program printed, bounded.
#[derive(Debug, Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    async fn collect(self, mut pipe: impl AsyncRead + Unpin) {
        let mut piece = [0; 1024];
        while let Ok(read @ 1..) = pipe.read(&mut piece).await {
            let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend_from_slice(&piece[..read]);
            let excess = kept.len().saturating_sub(limits::RECIPE_OUTPUT);
            kept.drain(..excess);
        }
    }

    fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&kept).trim().to_owned()
    }

    fn tail(&self) -> String {
        let text = self.text();
        if text.is_empty() { String::new() } else { format!("; it said: {text}") }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::run;
    use crate::config::CommandRecipe;
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::time::Duration;
    use tokio::time::Instant;

    fn sh(script: &str) -> CommandRecipe {
        let args = vec!["-c".to_owned(), script.to_owned()];
        CommandRecipe { command: "sh".into(), args, env: BTreeMap::new() }
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
    async fn a_failing_command_tells_its_exit_code_and_its_last_words() {
        let error = run(&sh("echo no such unit >&2; exit 7"), Duration::from_secs(9)).await;
        let error = error.unwrap_err();
        assert_eq!(error.code, "recipe_exit");
        assert!(error.detail.contains("exit code 7") && error.detail.contains("no such unit"));
    }

    #[tokio::test]
    async fn a_command_that_leaves_a_daemon_behind_ends_at_once_and_the_daemon_lives() {
        let began = Instant::now();
        let said = run(&sh("sleep 30 & echo $!"), Duration::from_secs(20)).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(5), "it waited for the daemon");
        let pid = said.trim().to_owned();
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
        assert_eq!(error.code, "recipe_timeout");
        gone(&std::fs::read_to_string(file).unwrap()).await;
    }

    #[tokio::test]
    async fn a_command_that_nobody_waits_for_any_more_is_told_to_end_with_its_group() {
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
    async fn a_command_sees_its_declared_environment_and_not_our_secrets() {
        let mut recipe = sh("echo $OURS-$CARGO_MANIFEST_DIR-$PATH");
        recipe.env.insert("OURS".into(), "yes".into());
        let said = run(&recipe, Duration::from_secs(9)).await.unwrap();
        assert!(said.starts_with("yes--/"), "{said}");
    }
}
