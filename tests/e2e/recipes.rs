//! What a recipe leaves behind, and what ends with it.

use crate::{World, and, whole};
use serde_json::json;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use testkit::agent::{Agent, Home, provider};
use testkit::backend::Backend;
use testkit::caller::{code, read};
use testkit::mcpd::Mcpd;
use testkit::process::{CommandLine as _, Process, finish, gone, is_gone, program};
use tokio::time::Instant;

/// A process that a recipe left in the background; it ends with the test.
struct Left(PathBuf);

impl Left {
    fn pid(&self) -> Option<String> {
        let text = std::fs::read_to_string(&self.0).ok()?;
        text.ends_with('\n').then(|| text.trim().to_owned())
    }
}

impl Drop for Left {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = std::process::Command::new("kill").args(["-9", &pid]).status();
        }
    }
}

/// A script that starts a logging backend in the background and ends; and that backend's process.
fn starts_a_backend(folder: &TempDir, port: u16) -> (PathBuf, Left) {
    let (script, left) = (folder.path().join("start.sh"), Left(folder.path().join("pid")));
    for file in ["awake", "open"] {
        std::fs::write(folder.path().join(file), "").unwrap();
    }
    let text = format!(
        "#!/bin/sh\n{} {port} {} &\necho $! > {}\n",
        program("teller").display(),
        folder.path().display(),
        left.0.display(),
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    (script, left)
}

#[tokio::test]
async fn a_backend_that_a_recipe_left_in_the_background_goes_on_logging_and_answering() {
    let (folder, port) = (tempfile::tempdir().unwrap(), testkit::free_port());
    let (script, left) = starts_a_backend(&folder, port);
    let mcpd = Mcpd::start().await;
    let wake = json!({"wake": {"type": "command", "command": script}});
    let home = Home::with(&mcpd.url, &[and(provider("a/b", &at(port)), &wake)]);
    let mut agent = Agent::start(&home, &mcpd.token("mia", "publish"));
    let caller = mcpd.token("tom", "infer");
    mcpd.row(&caller, "a/b", |row| row["status"] == "hibernating").await;
    let ask = async |url: &str, call: u64| {
        let body = json!({"model": "a/b", "stream": true, "messages": [], "x_call": call,
                          "x_pieces": 3, "x_pause": 0});
        let url = format!("{url}/v1/chat/completions");
        reqwest::Client::new().post(url).bearer_auth(&caller).json(&body).send().await.unwrap()
    };
    for call in 1..=3 {
        assert!(read(ask(&mcpd.url, call).await).await.done, "call {call}");
    }
    assert!(agent.process.stop().await.success());
    assert!(!is_gone(&left.pid().unwrap()), "it lives on without the agent");
    assert!(read(ask(&at(port), 4).await).await.done, "and answers whoever else asks it");
    let log = home.file("logs/wake-a%2fb.log");
    assert_eq!(std::fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    let said = std::fs::read_to_string(log).unwrap();
    assert!((1..=4).all(|call| said.contains(&format!("finishes {call}"))), "{said}");
}

fn at(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

#[tokio::test]
async fn a_recipe_that_ignores_the_polite_word_does_not_outlive_the_agent() {
    let backend = Backend::asleep().await;
    let pids = backend.flag().with_file_name("pids");
    let script = format!(
        "trap '' TERM; sleep 1000 & echo $! >> {0}; echo $$ >> {0}; while :; do sleep 0.1; done",
        pids.display()
    );
    let wake = json!({"wake": {"type": "command", "command": "sh", "args": ["-c", script]}});
    let mut world = World::on(Mcpd::start().await, backend, |entry| and(entry, &wake)).await;
    let body = whole();
    let begun = async || {
        let text = std::fs::read_to_string(&pids).unwrap_or_default();
        (text.lines().count() == 2).then_some(text)
    };
    let started = tokio::select! {
        _ = world.chat(&body) => unreachable!("the recipe never ends"),
        started = testkit::until("the recipe begins", begun) => started,
    };
    let asked = Instant::now();
    assert!(world.agent.process.stop().await.success());
    let took = asked.elapsed();
    for pid in started.lines() {
        assert!(is_gone(pid), "a process of the recipe outlives the agent");
    }
    assert!(took < Duration::from_secs(10), "the agent's end took {took:?}");
}

#[tokio::test]
async fn what_a_stopped_recipe_started_is_ended_too_when_only_the_recipe_listens() {
    let backend = Backend::asleep().await;
    let pid = backend.flag().with_file_name("pid");
    // The recipe ends at the polite word; what it started does not.
    let script = format!(
        "sh -c 'trap \"\" TERM; echo $$ > {}; while :; do sleep 0.1; done'; true",
        pid.display()
    );
    let wake = json!({"type": "command", "command": "sh", "args": ["-c", script],
                      "maxWaitSeconds": 1});
    let world =
        World::on(Mcpd::start().await, backend, |entry| and(entry, &json!({"wake": wake}))).await;
    assert_eq!(code(world.chat(&whole()).await).await, "llm_wake_failed");
    gone(&std::fs::read_to_string(pid).unwrap()).await;
}

#[tokio::test]
async fn a_variable_that_is_no_utf_8_keeps_no_backend_asleep() {
    let backend = Backend::asleep().await;
    let wake = json!({"wake": backend.wake_command()});
    let home = Home::with("http://127.0.0.1:9", &[and(provider("qwen", &backend.url), &wake)]);
    let mut command = home.prepare(&["wake", "qwen", "--test"]);
    for name in ["LC_ODD", "ODD"] {
        command.env(name, std::ffi::OsStr::from_bytes(b"\xff\xfe"));
    }
    command.env(std::ffi::OsStr::from_bytes(b"ODD\xff"), "name");
    let said = finish(command, "").await.good();
    assert!(said.contains("the backend answers"), "{said}");
}

#[tokio::test]
async fn a_request_that_comes_while_its_backend_is_put_to_sleep_is_answered_by_one_that_was_woken()
{
    let backend = Backend::awake().await;
    let (flag, at_work) = (backend.flag(), backend.flag().with_file_name("at-work"));
    let script = format!("touch {1}; sleep 1; rm {0}; rm {1}", flag.display(), at_work.display());
    let more = json!({
        "wake": backend.wake_command(),
        "sleep": {"type": "command", "command": "sh", "args": ["-c", script], "idleSeconds": 1},
    });
    let world = World::on(Mcpd::start().await, backend, |entry| and(entry, &more)).await;
    testkit::until("it is put to sleep", async || at_work.exists().then_some(())).await;
    assert_eq!(world.chat(&whole()).await.status(), 200);
    assert_eq!(world.backend.recipe_runs(), 1, "it was asked while it was put to sleep");
    assert!(!at_work.exists());
}

#[tokio::test]
async fn a_recipe_that_is_tried_by_hand_ends_with_the_person_who_tried_it() {
    let backend = Backend::asleep().await;
    let pid = backend.flag().with_file_name("pid");
    let script = format!(
        "trap '' TERM; echo $$ > {0}.new; mv {0}.new {0}; while :; do sleep 0.1; done",
        pid.display()
    );
    let wake = json!({"wake": {"type": "command", "command": "sh", "args": ["-c", script]}});
    let home = Home::with("http://127.0.0.1:9", &[and(provider("qwen", &backend.url), &wake)]);
    let (log, mut command) =
        (tempfile::tempdir().unwrap(), home.prepare(&["wake", "qwen", "--test"]));
    let mut tried = Process::start("tried", &mut command, log.path());
    let recipe =
        testkit::until("the recipe runs", async || std::fs::read_to_string(&pid).ok()).await;
    assert!(!tried.stop().await.success(), "it was stopped");
    assert!(is_gone(&recipe) && tried.err().contains("stopped"), "{}", tried.err());
}
