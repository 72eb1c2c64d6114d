//! Processes that recipes start: which of them outlive the recipe, and which end with it.

use crate::{Setup, chat_body, with_keys};
use serde_json::json;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use testkit::agent::{Agent, Home, provider};
use testkit::caller::{error_code, read_stream};
use testkit::fake_backend::FakeBackend;
use testkit::mcpd::Mcpd;
use testkit::process::{CommandLine as _, Process, has_exited, program, run_to_end, until_exited};
use tokio::time::Instant;

/// Pid file of a process that a recipe left in the background; dropping it kills the process.
struct BackgroundProcess(PathBuf);

impl BackgroundProcess {
    fn pid(&self) -> Option<String> {
        let text = std::fs::read_to_string(&self.0).ok()?;
        text.ends_with('\n').then(|| text.trim().to_owned())
    }
}

impl Drop for BackgroundProcess {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = std::process::Command::new("kill").args(["-9", &pid]).status();
        }
    }
}

/// Writes a script that starts a recording backend in the background and exits.
fn starts_a_backend(folder: &TempDir, port: u16) -> (PathBuf, BackgroundProcess) {
    let (script, background) =
        (folder.path().join("start.sh"), BackgroundProcess(folder.path().join("pid")));
    for file in ["awake", "open"] {
        std::fs::write(folder.path().join(file), "").unwrap();
    }
    let text = format!(
        "#!/bin/sh\n{} {port} {} &\necho $! > {}\n",
        program("recording_backend").display(),
        folder.path().display(),
        background.0.display(),
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    (script, background)
}

#[tokio::test]
async fn a_backend_that_a_recipe_left_in_the_background_keeps_logging_and_serving() {
    let (folder, port) = (tempfile::tempdir().unwrap(), testkit::free_port());
    let (script, background) = starts_a_backend(&folder, port);
    let mcpd = Mcpd::start().await;
    let wake = json!({"wake": {"type": "command", "command": script}});
    let home = Home::with_config(&mcpd.url, &[with_keys(provider("a/b", &at(port)), &wake)]);
    let mut agent = Agent::start(&home, &mcpd.token("mia", "publish"));
    let caller = mcpd.token("tom", "infer");
    mcpd.until_entry(&caller, "a/b", |entry| entry["status"] == "hibernating").await;
    let chat = async |url: &str, call: u64| {
        let script = json!({"do": "record", "call": call, "n": 3, "pauseMs": 0});
        let body = testkit::caller::scripted_chat("a/b", script);
        let url = format!("{url}/v1/chat/completions");
        reqwest::Client::new().post(url).bearer_auth(&caller).json(&body).send().await.unwrap()
    };
    for call in 1..=3 {
        assert!(read_stream(chat(&mcpd.url, call).await).await.done, "call {call}");
    }
    assert!(agent.process.stop().await.success());
    assert!(!has_exited(&background.pid().unwrap()), "it outlives the agent");
    assert!(read_stream(chat(&at(port), 4).await).await.done, "it still serves direct calls");
    let log = home.file("logs/wake-a%2fb.log");
    assert_eq!(std::fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    let log = std::fs::read_to_string(log).unwrap();
    assert!((1..=4).all(|call| log.contains(&format!("finishes {call}"))), "{log}");
}

fn at(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

#[tokio::test]
async fn a_recipe_that_ignores_sigterm_does_not_outlive_the_agent() {
    let backend = FakeBackend::asleep().await;
    let pids = backend.awake_file().with_file_name("pids");
    let script = format!(
        "trap '' TERM; sleep 1000 & echo $! >> {0}; echo $$ >> {0}; while :; do sleep 0.1; done",
        pids.display()
    );
    let wake = json!({"wake": {"type": "command", "command": "sh", "args": ["-c", script]}});
    let mut setup =
        Setup::with_parts(Mcpd::start().await, backend, |entry| with_keys(entry, &wake)).await;
    let body = chat_body();
    let begun = async || {
        let text = std::fs::read_to_string(&pids).unwrap_or_default();
        (text.lines().count() == 2).then_some(text)
    };
    let started = tokio::select! {
        _ = setup.chat(&body) => unreachable!("the recipe never ends"),
        started = testkit::until("the recipe begins", begun) => started,
    };
    let signalled = Instant::now();
    assert!(setup.agent.process.stop().await.success());
    let took = signalled.elapsed();
    for pid in started.lines() {
        assert!(has_exited(pid), "a process of the recipe outlives the agent");
    }
    assert!(took < Duration::from_secs(10), "the agent took {took:?} to exit");
}

#[tokio::test]
async fn children_of_a_stopped_recipe_are_killed_when_they_ignore_sigterm() {
    let backend = FakeBackend::asleep().await;
    let pid = backend.awake_file().with_file_name("pid");
    // The recipe exits on SIGTERM; its child ignores it.
    let script = format!(
        "sh -c 'trap \"\" TERM; echo $$ > {}; while :; do sleep 0.1; done'; true",
        pid.display()
    );
    let wake = json!({"type": "command", "command": "sh", "args": ["-c", script],
                      "maxWaitSeconds": 1});
    let setup = Setup::with_parts(Mcpd::start().await, backend, |entry| {
        with_keys(entry, &json!({"wake": wake}))
    })
    .await;
    assert_eq!(error_code(setup.chat(&chat_body()).await).await, "llm_wake_failed");
    until_exited(&std::fs::read_to_string(pid).unwrap()).await;
}

#[tokio::test]
async fn a_recipe_runs_when_environment_variables_are_not_utf_8() {
    let backend = FakeBackend::asleep().await;
    let wake = json!({"wake": backend.wake_command()});
    let home = Home::with_config(
        "http://127.0.0.1:9",
        &[with_keys(provider("qwen", &backend.url), &wake)],
    );
    let mut command = home.command(&["wake", "qwen", "--test"]);
    for name in ["LC_ODD", "ODD"] {
        command.env(name, std::ffi::OsStr::from_bytes(b"\xff\xfe"));
    }
    command.env(std::ffi::OsStr::from_bytes(b"ODD\xff"), "name");
    let output = run_to_end(command, "").await.expect_success();
    assert!(output.contains("the backend answers"), "{output}");
}

#[tokio::test]
async fn a_request_during_the_sleep_recipe_waits_and_wakes_the_backend_again() {
    let backend = FakeBackend::awake().await;
    let (flag, at_work) = (backend.awake_file(), backend.awake_file().with_file_name("at-work"));
    let script = format!("touch {1}; sleep 1; rm {0}; rm {1}", flag.display(), at_work.display());
    let more = json!({
        "wake": backend.wake_command(),
        "sleep": {"type": "command", "command": "sh", "args": ["-c", script], "idleSeconds": 1},
    });
    let setup =
        Setup::with_parts(Mcpd::start().await, backend, |entry| with_keys(entry, &more)).await;
    testkit::until("the sleep recipe runs", async || at_work.exists().then_some(())).await;
    assert_eq!(setup.chat(&chat_body()).await.status(), 200);
    assert_eq!(setup.backend.recipe_runs(), 1, "the request arrived during the sleep recipe");
    assert!(!at_work.exists());
}

#[tokio::test]
async fn a_recipe_under_wake_test_ends_with_the_command() {
    let backend = FakeBackend::asleep().await;
    let pid = backend.awake_file().with_file_name("pid");
    let script = format!(
        "trap '' TERM; echo $$ > {0}.new; mv {0}.new {0}; while :; do sleep 0.1; done",
        pid.display()
    );
    let wake = json!({"wake": {"type": "command", "command": "sh", "args": ["-c", script]}});
    let home = Home::with_config(
        "http://127.0.0.1:9",
        &[with_keys(provider("qwen", &backend.url), &wake)],
    );
    let (log, mut command) =
        (tempfile::tempdir().unwrap(), home.command(&["wake", "qwen", "--test"]));
    let mut wake_test = Process::start("wake-test", &mut command, log.path());
    let recipe =
        testkit::until("the recipe runs", async || std::fs::read_to_string(&pid).ok()).await;
    assert!(!wake_test.stop().await.success(), "the command was stopped");
    assert!(
        has_exited(&recipe) && wake_test.stderr().contains("stopped"),
        "{}",
        wake_test.stderr()
    );
}
