//! The commands of `mcplocal-agent`.

use crate::{Setup, with_keys};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use testkit::agent::{Agent, Home, provider};
use testkit::fake_backend::FakeBackend;
use testkit::mcpd::Mcpd;
use testkit::process::CommandLine as _;

#[tokio::test]
async fn a_user_signs_in_publishes_and_signs_out() {
    let mcpd = Mcpd::start().await;
    let backend = FakeBackend::awake().await;
    let home = Home::default();
    let entry = with_keys(provider("qwen", &backend.url), &json!({"publish": false}));
    home.write(&json!({"llm": {"providers": [entry]}}).to_string());

    let login = ["login", "--url", &mcpd.url];
    let wrong = home.run_with(&login, "mcp_publish_wrong\n", &[]).await.expect_failure();
    assert!(wrong.contains("401"), "{wrong}");
    assert!(!home.read("config.json").contains("mcpdUrl"), "nothing was changed");
    let token = mcpd.token("mia", "publish");
    let no_keychain = home.run_with(&login, &token, &[]).await.expect_failure();
    assert!(no_keychain.contains("--insecure-storage"), "{no_keychain}");

    let login = ["login", "--url", &mcpd.url, "--insecure-storage"];
    home.run_with(&login, &token, &[]).await.expect_success();
    let mode = std::fs::metadata(home.file("credentials")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(!home.read("config.json").contains(&token));
    home.run(&["publish", "qwen"]).await.expect_success();
    let _agent = Agent::with_environment(&home, &[]);
    mcpd.until_active(&mcpd.token("tom", "infer"), "qwen").await;

    home.run(&["logout"]).await.expect_success();
    assert!(!home.file("credentials").exists());
}

#[tokio::test]
async fn wake_test_shows_each_step_of_a_recipe() {
    let backend = FakeBackend::asleep().await;
    let fails = json!({"type": "command", "command": "sh", "args": ["-c", "echo no >&2; exit 4"]});
    let entries = [
        with_keys(provider("qwen", &backend.url), &json!({"wake": backend.wake_command()})),
        with_keys(provider("broken", &backend.url), &json!({"wake": fails})),
    ];
    let home = Home::with_config("http://127.0.0.1:9", &entries);
    let broken = home.run(&["wake", "broken", "--test"]).await.expect_failure();
    assert!(broken.contains("recipe_exit") && broken.contains("exit code 4"), "{broken}");
    let steps = home.run(&["wake", "qwen", "--test"]).await.expect_success();
    let order = ["running: command sh", "the recipe is done", "the backend answers"];
    let at: Vec<_> = order.iter().map(|step| steps.find(step)).collect();
    assert!(at.iter().all(Option::is_some) && at.is_sorted(), "{steps}");
    let unknown = home.run(&["wake", "nothing", "--test"]).await.expect_failure();
    assert!(unknown.contains("nothing"), "{unknown}");
}

#[tokio::test]
async fn the_doctor_reports_what_is_wrong_and_how_to_fix_it() {
    let setup = Setup::new().await;
    setup.mcpd.until_active(&setup.caller, "qwen").await;
    let signed_in = [("MCPCTL_TOKEN", setup.publisher.as_str())];
    let healthy = setup.home.run_with(&["doctor"], "", &signed_in).await.expect_success();
    assert!(healthy.contains("takes the token") && !healthy.contains("FAIL"), "{healthy}");

    let down = provider("down", &format!("http://127.0.0.1:{}", testkit::free_port()));
    setup.home.configure(&setup.mcpd.url, &[provider("qwen", &setup.backend.url), down]);
    let ended = setup.home.run_with(&["doctor", "--json"], "", &[("MCPCTL_TOKEN", "x")]).await;
    assert_eq!(ended.code, Some(1));
    let findings: Vec<Value> = serde_json::from_str(&ended.stdout).unwrap();
    for about in ["server", "backend down"] {
        let finding = findings.iter().find(|finding| finding["about"] == about).unwrap();
        assert_eq!(finding["verdict"], "broken", "{finding}");
        assert!(!finding["fix"].as_str().unwrap().is_empty(), "{finding}");
    }
    setup.home.write("{\"llm\": [");
    let broken = setup.home.run(&["doctor"]).await;
    assert!(broken.code == Some(1) && broken.stdout.contains("line 1"), "{broken:?}");
}

#[tokio::test]
async fn install_writes_a_systemd_unit_and_uninstall_removes_it() {
    let home = Home::default();
    let config = tempfile::tempdir().unwrap();
    let environment = [("XDG_CONFIG_HOME", config.path().to_str().unwrap())];
    home.run_with(&["install"], "", &environment).await.expect_success();
    let file = config.path().join("systemd/user/mcplocal-agent.service");
    let unit = std::fs::read_to_string(&file).unwrap();
    assert!(unit.contains("Type=notify") && unit.contains("mcplocal-agent\" run"), "{unit}");
    home.run_with(&["uninstall"], "", &environment).await.expect_success();
    assert!(!file.exists());
    let again = home.run_with(&["uninstall"], "", &environment).await.expect_failure();
    assert!(again.contains("nothing was installed"), "{again}");
}

#[tokio::test]
async fn systemd_is_notified_of_the_start_the_status_and_the_stop() {
    let mcpd = Mcpd::start().await;
    let backend = FakeBackend::awake().await;
    let home = Home::with_config(&mcpd.url, &[provider("qwen", &backend.url)]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = tokio::net::UnixDatagram::bind(&path).unwrap();
    let token = mcpd.token("mia", "publish");
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("MCPCTL_TOKEN", &token)];
    let mut agent = Agent::with_environment(&home, &environment);
    let mut received = String::new();
    let mut until_received = async |word: &str| {
        while !received.contains(word) {
            let mut bytes = [0; 4096];
            let got = tokio::time::timeout(testkit::TIMEOUT, socket.recv(&mut bytes)).await;
            received += std::str::from_utf8(&bytes[..got.unwrap().unwrap()]).unwrap();
        }
    };
    until_received("READY=1").await;
    until_received("STATUS=online at").await;
    agent.process.signal("TERM");
    until_received("STOPPING=1").await;
    testkit::until("the agent exits", async || agent.process.exit_status()).await;
}

#[tokio::test]
async fn terminal_escapes_in_texts_of_others_are_not_printed() {
    const ESCAPE: &str = "\u{1b}[2J\u{9b}1A\u{202e}";
    let home = Home::with_config("http://127.0.0.1:9", &[]);
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
    let output = home.run(&["status"]).await.expect_success();
    assert!(output.contains("running: qwen for \u{fffd}[2J\u{fffd}1A\u{fffd}"), "{output}");
    assert!(output.chars().all(|c| c == '\n' || wire::names::is_printable(c)), "{output:?}");
    assert!(output.lines().all(|line| line.trim_end() != "qwen  ready"), "{output}");
    let output = home.run(&["status", "--json"]).await.expect_success();
    assert!(output.chars().all(|c| c == '\n' || wire::names::is_printable(c)), "{output:?}");
    let back: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(back["running"][0]["user"], ESCAPE, "JSON escapes it, and does not change it");
    home.write(&json!({"mcpdUrl": ESCAPE}).to_string());
    let output = home.run(&["doctor"]).await.stdout;
    assert!(output.chars().all(|c| c == '\n' || wire::names::is_printable(c)), "{output:?}");
    let output = home.run(&["publish", ESCAPE]).await.expect_failure();
    assert!(output.contains('\u{fffd}') && !output.contains('\u{1b}'), "{output:?}");
}
