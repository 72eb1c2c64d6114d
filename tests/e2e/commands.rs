//! What the owner of a machine without a desktop types.

use crate::{World, and};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use testkit::agent::{Agent, Home, provider};
use testkit::backend::Backend;
use testkit::mcpd::Mcpd;
use testkit::process::CommandLine as _;

#[tokio::test]
async fn a_person_signs_in_publishes_and_signs_out() {
    let mcpd = Mcpd::start().await;
    let backend = Backend::awake().await;
    let home = Home::default();
    let entry = and(provider("qwen", &backend.url), &json!({"publish": false}));
    home.write(&json!({"llm": {"providers": [entry]}}).to_string());

    let login = ["login", "--url", &mcpd.url];
    let wrong = home.run_with(&login, "mcp_publish_wrong\n", &[]).await.bad();
    assert!(wrong.contains("401"), "{wrong}");
    assert!(!home.read("config.json").contains("mcpdUrl"), "nothing was changed");
    let token = mcpd.token("mia", "publish");
    let no_keychain = home.run_with(&login, &token, &[]).await.bad();
    assert!(no_keychain.contains("--insecure-storage"), "{no_keychain}");

    let login = ["login", "--url", &mcpd.url, "--insecure-storage"];
    home.run_with(&login, &token, &[]).await.good();
    let mode = std::fs::metadata(home.file("credentials")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!home.read("config.json").contains(&token));
    home.run(&["publish", "qwen"]).await.good();
    let _agent = Agent::with(&home, &[]);
    mcpd.active(&mcpd.token("tom", "infer"), "qwen").await;

    home.run(&["logout"]).await.good();
    assert!(!home.file("credentials").exists());
}

#[tokio::test]
async fn a_recipe_is_tried_by_hand_step_by_step() {
    let backend = Backend::asleep().await;
    let fails = json!({"type": "command", "command": "sh", "args": ["-c", "echo no >&2; exit 4"]});
    let entries = [
        and(provider("qwen", &backend.url), &json!({"wake": backend.wake_command()})),
        and(provider("broken", &backend.url), &json!({"wake": fails})),
    ];
    let home = Home::with("http://127.0.0.1:9", &entries);
    let broken = home.run(&["wake", "broken", "--test"]).await.bad();
    assert!(broken.contains("recipe_exit") && broken.contains("exit code 4"), "{broken}");
    let steps = home.run(&["wake", "qwen", "--test"]).await.good();
    let order = ["running: command sh", "the recipe is done", "the backend answers"];
    let at: Vec<_> = order.iter().map(|step| steps.find(step)).collect();
    assert!(at.iter().all(Option::is_some) && at.is_sorted(), "{steps}");
    let unknown = home.run(&["wake", "nothing", "--test"]).await.bad();
    assert!(unknown.contains("nothing"), "{unknown}");
}

#[tokio::test]
async fn the_doctor_finds_what_is_wrong_and_says_what_to_do() {
    let world = World::new().await;
    world.mcpd.active(&world.caller, "qwen").await;
    let signed_in = [("MCPCTL_TOKEN", world.publisher.as_str())];
    let well = world.home.run_with(&["doctor"], "", &signed_in).await.good();
    assert!(well.contains("takes the token") && !well.contains("FAIL"), "{well}");

    let down = provider("down", &format!("http://127.0.0.1:{}", testkit::free_port()));
    world.home.configure(&world.mcpd.url, &[provider("qwen", &world.backend.url), down]);
    let ended = world.home.run_with(&["doctor", "--json"], "", &[("MCPCTL_TOKEN", "x")]).await;
    assert_eq!(ended.code, Some(1));
    let findings: Vec<Value> = serde_json::from_str(&ended.out).unwrap();
    for about in ["server", "backend down"] {
        let finding = findings.iter().find(|finding| finding["about"] == about).unwrap();
        assert_eq!(finding["verdict"], "broken", "{finding}");
        assert!(!finding["fix"].as_str().unwrap().is_empty(), "{finding}");
    }
    world.home.write("{\"llm\": [");
    let broken = world.home.run(&["doctor"]).await;
    assert!(broken.code == Some(1) && broken.out.contains("line 1"), "{broken:?}");
}

#[tokio::test]
async fn install_writes_a_unit_that_systemd_accepts_and_uninstall_takes_it_away() {
    let home = Home::default();
    let config = tempfile::tempdir().unwrap();
    let environment = [("XDG_CONFIG_HOME", config.path().to_str().unwrap())];
    home.run_with(&["install"], "", &environment).await.good();
    let file = config.path().join("systemd/user/mcplocal-agent.service");
    let unit = std::fs::read_to_string(&file).unwrap();
    assert!(unit.contains("Type=notify") && unit.contains("mcplocal-agent\" run"), "{unit}");
    home.run_with(&["uninstall"], "", &environment).await.good();
    assert!(!file.exists());
    let again = home.run_with(&["uninstall"], "", &environment).await.bad();
    assert!(again.contains("nothing was installed"), "{again}");
}

#[tokio::test]
async fn a_waiting_systemd_is_told_when_it_runs_how_it_is_and_when_it_stops() {
    let mcpd = Mcpd::start().await;
    let backend = Backend::awake().await;
    let home = Home::with(&mcpd.url, &[provider("qwen", &backend.url)]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    let token = mcpd.token("mia", "publish");
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("MCPCTL_TOKEN", &token)];
    let mut agent = Agent::with(&home, &environment);
    let mut heard = String::new();
    let mut hear = async |word: &str| {
        while !heard.contains(word) {
            let mut bytes = [0; 4096];
            let got = tokio::time::timeout(testkit::PATIENCE, socket.recv(&mut bytes)).await;
            heard += std::str::from_utf8(&bytes[..got.unwrap().unwrap()]).unwrap();
        }
    };
    hear("READY=1").await;
    hear("STATUS=online at").await;
    agent.process.signal("TERM");
    hear("STOPPING=1").await;
    testkit::until("it ends", async || agent.process.ended()).await;
}

#[tokio::test]
async fn what_strangers_call_themselves_moves_no_cursor_in_the_owners_terminal() {
    const ESCAPE: &str = "\u{1b}[2J\u{9b}1A\u{202e}";
    let home = Home::with("http://127.0.0.1:9", &[]);
    let lock = std::fs::File::create(home.file("registrar.lock")).unwrap();
    lock.lock().unwrap();
    let message = format!("401: {ESCAPE}\nqwen  ready");
    let status = json!({
        "pid": 1, "program": "mcplocal-agent",
        "connection": {"state": "stopped", "message": message},
        "providers": [{"name": "qwen", "state": "down", "message": message}],
        "running": [{"taskId": "t", "llm": "qwen", "path": "/v1/x", "started": 1, "user": ESCAPE}],
    });
    std::fs::write(home.file("status.json"), status.to_string()).unwrap();
    let said = home.run(&["status"]).await.good();
    assert!(said.contains("running: qwen for \u{fffd}[2J\u{fffd}1A\u{fffd}"), "{said}");
    assert!(said.chars().all(|c| c == '\n' || wire::names::is_printable(c)), "{said:?}");
    assert!(said.lines().all(|line| line.trim_end() != "qwen  ready"), "{said}");
    let said = home.run(&["status", "--json"]).await.good();
    assert!(said.chars().all(|c| c == '\n' || wire::names::is_printable(c)), "{said:?}");
    let back: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(back["running"][0]["user"], ESCAPE, "JSON says the same");
    home.write(&json!({"mcpdUrl": ESCAPE}).to_string());
    let said = home.run(&["doctor"]).await.out;
    assert!(said.chars().all(|c| c == '\n' || wire::names::is_printable(c)), "{said:?}");
    let said = home.run(&["publish", ESCAPE]).await.bad();
    assert!(said.contains('\u{fffd}') && !said.contains('\u{1b}'), "{said:?}");
}
