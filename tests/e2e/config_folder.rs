//! The agent's folder, its permissions and locks, and what other users of the machine can do to it.

use crate::{Setup, chat_body};
use registrar::config::parse;
use registrar::config_watch::Snapshot;
use registrar::registrar::Registrar;
use serde_json::json;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use testkit::agent::{Agent, Home, provider};
use testkit::fake_backend::FakeBackend;
use testkit::process::CommandLine as _;
use testkit::protocol1_peer::Protocol1Peer;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Holds the lock on a file of the folder, as any user who can open the file may.
fn hold_lock(home: &Home, name: &str) -> File {
    let file = File::options().create(true).append(true).open(home.file(name)).unwrap();
    file.lock().unwrap();
    file
}

#[tokio::test]
async fn a_folder_that_others_may_enter_is_reported_by_the_doctor_and_closed_by_the_agent() {
    let home = Home::with_config("http://127.0.0.1:9", &[provider("qwen", "http://127.0.0.1:9")]);
    let folder = home.file(".");
    for name in ["registrar.lock", "config.json.lock"] {
        std::fs::write(home.file(name), "").unwrap();
        set_mode(&home.file(name), 0o666);
    }
    set_mode(&home.file("config.json"), 0o666);
    set_mode(&folder, 0o755);
    let loose = home.run(&["doctor"]).await.stdout;
    for fix in ["chmod 700 ", "chmod go-w ", "chmod 600 "] {
        assert!(loose.contains(fix), "{fix}: {loose}");
    }
    assert_eq!(mode(&folder), 0o755, "the doctor changes nothing");

    let agent = Agent::start(&home, "t");
    home.until_status("a process id", |status| status["pid"].is_number()).await;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&home.file("registrar.lock")), 0o600);
    let log = agent.process.stderr();
    assert!(log.contains("open to other users") && log.contains("0755"), "{log}");
    home.run(&["unpublish", "qwen"]).await.expect_success();
    assert_eq!(mode(&home.file("config.json.lock")), 0o600);
    let tight = home.run(&["doctor"]).await.stdout;
    assert!(!tight.contains("chmod 700") && !tight.contains("chmod 600"), "{tight}");
    assert!(tight.contains("chmod go-w"), "a readable configuration is still reported: {tight}");
    set_mode(&home.file("config.json"), 0o644);
    let tight = home.run(&["doctor"]).await.stdout;
    assert!(!tight.contains("chmod"), "{tight}");
}

#[tokio::test]
async fn an_edit_fails_with_the_reason_while_another_process_holds_the_lock() {
    let setup = Setup::new().await;
    let before = setup.home.read("config.json");
    let held = hold_lock(&setup.home, "config.json.lock");
    let error = setup.home.run(&["unpublish", "qwen"]).await.expect_failure();
    assert!(error.contains("another process") && error.contains("config.json.lock"), "{error}");
    assert_eq!(setup.home.read("config.json"), before);
    drop(held);
    setup.home.run(&["unpublish", "qwen"]).await.expect_success();
}

#[tokio::test]
async fn a_process_that_holds_the_folders_lock_without_a_status_is_reported_and_waited_for() {
    let home = Home::with_config("http://127.0.0.1:9", &[provider("qwen", "http://127.0.0.1:9")]);
    let held = hold_lock(&home, "registrar.lock");
    let agent = Agent::start(&home, "t");
    testkit::until("the agent logs that it publishes nothing", async || {
        agent.process.stderr().contains("publishes nothing").then_some(())
    })
    .await;
    let doctor = home.run(&["doctor"]).await;
    assert_eq!(doctor.code, Some(1));
    assert!(
        doctor.stdout.contains("fuser") && doctor.stdout.contains("registrar.lock"),
        "{doctor:?}"
    );
    drop(held);
    home.until_status("a process id", |status| status["pid"] == agent.process.pid()).await;
}

#[tokio::test]
async fn a_pipe_in_place_of_the_configuration_is_reported_and_stops_nothing() {
    let setup = Setup::new().await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    let pipe = setup.home.file("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::rename(&pipe, setup.home.file("config.json")).unwrap();
    let status = setup.home.until_status("the problem", |s| s["configProblem"].is_object()).await;
    let message = status["configProblem"]["message"].as_str().unwrap();
    assert!(message.contains("not a regular file"), "{message}");
    assert_eq!(
        setup.chat(&chat_body()).await.status(),
        200,
        "the last valid configuration is in force"
    );
    for command in [&["doctor"][..], &["unpublish", "qwen"]] {
        let ended = setup.home.run(command).await;
        assert!(ended.code == Some(1), "{ended:?}");
        assert!((ended.stdout + &ended.stderr).contains("not a regular file"));
    }
}

#[tokio::test]
async fn a_publisher_stays_online_when_its_file_watcher_has_ended() {
    let (server, url) = Protocol1Peer::server().await;
    let backend = FakeBackend::awake().await;
    let dir = tempfile::tempdir().unwrap();
    let home = registrar::home::Home::at(dir.path()).unwrap();
    let credentials = json!({"mcpdUrl": url, "token": "t"});
    std::fs::write(home.credentials(), credentials.to_string()).unwrap();
    let text = json!({"mcpdUrl": url, "llm": {"providers": [provider("qwen", &backend.url)]}});
    let config = Arc::new(parse(&text.to_string()).unwrap().config);
    let snapshot = Snapshot { config, ..Snapshot::default() };
    let (watcher, followed) = tokio::sync::watch::channel(Arc::new(snapshot));
    let keychain = keychain::Keychain::none();
    let registrar = Registrar::start(home, keychain, followed, "test").unwrap();
    server.until_event("channel", |_| true).await;

    drop(watcher);
    let id = testkit::fake_server::task_id(1);
    let task = json!({"kind": "wake", "taskId": id, "llmName": "qwen", "maxWaitSeconds": 9});
    let post = reqwest::Client::new().post(format!("{url}/control/task")).json(&task).send();
    assert_eq!(post.await.unwrap().status(), 200);
    let result = server.until_event("result", |_| true).await;
    assert_eq!(result["result"]["ok"], true, "{result}");
    assert_eq!(server.count("register"), 1);
    registrar.stop().await;
}
