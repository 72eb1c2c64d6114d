//! The folder of the person who publishes, and what other users of the machine can do to it.

use crate::{World, whole};
use registrar::config::parse;
use registrar::config_watch::Snapshot;
use registrar::registrar::Registrar;
use serde_json::json;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use testkit::agent::{Agent, Home, provider};
use testkit::backend::Backend;
use testkit::peer::Peer;
use testkit::process::CommandLine as _;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn open_to_others(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Holds the lock on a file of the folder, as any user who can open it may.
fn hold(home: &Home, name: &str) -> File {
    let file = File::options().create(true).append(true).open(home.file(name)).unwrap();
    file.lock().unwrap();
    file
}

#[tokio::test]
async fn a_folder_that_others_may_enter_is_told_by_the_doctor_and_closed_by_whoever_publishes() {
    let home = Home::with("http://127.0.0.1:9", &[provider("qwen", "http://127.0.0.1:9")]);
    let folder = home.file(".");
    for name in ["registrar.lock", "config.json.lock"] {
        std::fs::write(home.file(name), "").unwrap();
        open_to_others(&home.file(name), 0o666);
    }
    open_to_others(&home.file("config.json"), 0o666);
    open_to_others(&folder, 0o755);
    let loose = home.run(&["doctor"]).await.out;
    for fix in ["chmod 700 ", "chmod go-w ", "chmod 600 "] {
        assert!(loose.contains(fix), "{fix}: {loose}");
    }
    assert_eq!(mode(&folder), 0o755, "a doctor looks and does not touch");

    let agent = Agent::start(&home, "t");
    home.shows("that it runs", |status| status["pid"].is_number()).await;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&home.file("registrar.lock")), 0o600);
    let said = agent.process.err();
    assert!(said.contains("open to other users") && said.contains("0755"), "{said}");
    home.run(&["unpublish", "qwen"]).await.good();
    assert_eq!(mode(&home.file("config.json.lock")), 0o600);
    let tight = home.run(&["doctor"]).await.out;
    assert!(!tight.contains("chmod 700") && !tight.contains("chmod 600"), "{tight}");
    assert!(tight.contains("chmod go-w"), "it is worth knowing still: {tight}");
    open_to_others(&home.file("config.json"), 0o644);
    let tight = home.run(&["doctor"]).await.out;
    assert!(!tight.contains("chmod"), "{tight}");
}

#[tokio::test]
async fn an_edit_that_another_process_keeps_out_ends_with_its_reason() {
    let world = World::new().await;
    let before = world.home.read("config.json");
    let held = hold(&world.home, "config.json.lock");
    let said = world.home.run(&["unpublish", "qwen"]).await.bad();
    assert!(said.contains("another process") && said.contains("config.json.lock"), "{said}");
    assert_eq!(world.home.read("config.json"), before);
    drop(held);
    world.home.run(&["unpublish", "qwen"]).await.good();
}

#[tokio::test]
async fn who_holds_the_folders_lock_and_says_nothing_is_named_and_waited_for() {
    let home = Home::with("http://127.0.0.1:9", &[provider("qwen", "http://127.0.0.1:9")]);
    let held = hold(&home, "registrar.lock");
    let agent = Agent::start(&home, "t");
    testkit::until("the agent says why it publishes nothing", async || {
        agent.process.err().contains("publishes nothing").then_some(())
    })
    .await;
    let doctor = home.run(&["doctor"]).await;
    assert_eq!(doctor.code, Some(1));
    assert!(doctor.out.contains("fuser") && doctor.out.contains("registrar.lock"), "{doctor:?}");
    drop(held);
    home.shows("that it runs", |status| status["pid"] == agent.process.pid()).await;
}

#[tokio::test]
async fn a_pipe_in_place_of_the_configuration_is_a_problem_to_be_shown_and_stops_nothing() {
    let world = World::new().await;
    world.mcpd.active(&world.caller, "qwen").await;
    let pipe = world.home.file("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::fs::rename(&pipe, world.home.file("config.json")).unwrap();
    let status = world.home.shows("the problem", |s| s["configProblem"].is_object()).await;
    let message = status["configProblem"]["message"].as_str().unwrap();
    assert!(message.contains("not a regular file"), "{message}");
    assert_eq!(world.chat(&whole()).await.status(), 200, "the last good one is in force");
    for command in [&["doctor"][..], &["unpublish", "qwen"]] {
        let ended = world.home.run(command).await;
        assert!(ended.code == Some(1), "{ended:?}");
        assert!((ended.out + &ended.err).contains("not a regular file"));
    }
}

#[tokio::test]
async fn a_publisher_whose_file_nobody_follows_any_more_stays_online() {
    let seed = Peer::start("seed-mcpd.mjs", &[]);
    let url = seed.tells("listening", |_| true).await["url"].as_str().unwrap().to_owned();
    let backend = Backend::awake().await;
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
    seed.tells("channel", |_| true).await;

    drop(watcher);
    let id = testkit::hostile::task_id(1);
    let task = json!({"kind": "wake", "taskId": id, "llmName": "qwen", "maxWaitSeconds": 9});
    let post = reqwest::Client::new().post(format!("{url}/control/task")).json(&task).send();
    assert_eq!(post.await.unwrap().status(), 200);
    let result = seed.tells("result", |_| true).await;
    assert_eq!(result["result"]["ok"], true, "{result}");
    let registers = seed.told().iter().filter(|told| told["kind"] == "register").count();
    assert_eq!(registers, 1);
    registrar.stop().await;
}
