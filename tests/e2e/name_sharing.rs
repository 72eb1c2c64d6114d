//! A name that two users want: the second one gets a suggestion, and the owner of the name decides.

use crate::{chat_body, with_keys};
use serde_json::{Value, json};
use testkit::agent::{Agent, Home, provider};
use testkit::caller::scripted_chat;
use testkit::fake_backend::FakeBackend;
use testkit::mcpd::Mcpd;
use testkit::process::CommandLine as _;
use testkit::protocol1_peer::Protocol1Peer;

/// Factor of the agents' waits: requests for names travel with heartbeats, which come every 1.5 s.
const SCALE: f64 = 0.05;

/// A user who publishes `qwen`.
struct User {
    home: Home,
    backend: FakeBackend,
    _agent: Agent,
}

impl User {
    async fn new(mcpd: &Mcpd, user: &str) -> Self {
        let backend = FakeBackend::awake().await;
        let home = Home::with_config(&mcpd.url, &[provider("qwen", &backend.url)]);
        let agent = Agent::scaled(&home, &mcpd.token(user, "publish"), SCALE);
        Self { home, backend, _agent: agent }
    }

    /// Waits for this state of the only model; returns its status.
    async fn until_model(&self, state: &str) -> Value {
        let what = format!("the model is {state}");
        let status = self.home.until_status(&what, |s| s["providers"][0]["state"] == state).await;
        status["providers"][0].clone()
    }

    async fn run(&self, arguments: &[&str]) -> String {
        self.home.run(arguments).await.expect_success()
    }
}

#[tokio::test]
async fn the_second_user_of_a_name_gets_a_suggestion_and_publishes_under_it() {
    let mcpd = Mcpd::scaled(0.1).await;
    let caller = mcpd.token("eve", "infer");
    let _mia = User::new(&mcpd, "mia").await;
    mcpd.until_active(&caller, "qwen").await;
    let tom = User::new(&mcpd, "tom").await;
    let refused = tom.until_model("rejected").await;
    assert_eq!(refused["suggestion"], "qwen-tom", "{refused}");
    let why = refused["message"].as_str().unwrap();
    assert!(why.contains("qwen") && !why.contains("mia"), "{why}");
    let status = tom.run(&["status"]).await;
    assert!(status.contains("name taken") && status.contains(why), "{status}");
    assert!(status.contains("mcplocal-agent publish qwen --as qwen-tom"), "{status}");

    tom.run(&["publish", "qwen", "--as", "qwen-tom"]).await;
    mcpd.until_active(&caller, "qwen-tom").await;
    tom.until_model("ready").await;
    let response = mcpd
        .post("/v1/chat/completions", &caller)
        .json(&with_keys(chat_body(), &json!({"model": "qwen-tom"})));
    assert_eq!(response.send().await.unwrap().status(), 200);
    let seen = tom.backend.requests();
    let request: Value = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!(request["model"], "the-backends-own-name");
}

#[tokio::test]
async fn the_owner_of_a_name_sees_the_request_shares_the_name_and_revokes_the_share() {
    let mcpd = Mcpd::scaled(0.1).await;
    let caller = mcpd.token("eve", "infer");
    let mia = User::new(&mcpd, "mia").await;
    mcpd.until_active(&caller, "qwen").await;
    let tom = User::new(&mcpd, "tom").await;
    tom.until_model("rejected").await;

    let request = json!([{"name": "qwen", "user": "tom"}]);
    mia.home.until_status("the request", |s| s["nameRequests"] == request).await;
    let status = mia.run(&["status"]).await;
    assert!(status.contains("tom would like to publish qwen too"), "{status}");
    assert!(status.contains("mcplocal-agent share qwen --with tom"), "{status}");
    mia.run(&["share", "qwen", "--with", "tom"]).await;
    tom.until_model("ready").await;
    mia.home.until_status("no request", |s| s["nameRequests"] == json!([])).await;

    // Each publisher takes one request at a time, so two requests need both.
    let call = |model: &str| {
        let body = scripted_chat(model, json!({"do": "count", "n": 9, "stallAt": 3}));
        mcpd.post("/v1/chat/completions", &caller).json(&body).send()
    };
    testkit::until("tom's entry can be called as qwen@tom", async || {
        let path = "/v1/chat/completions";
        let body = with_keys(chat_body(), &json!({"model": "qwen@tom"}));
        let response = mcpd.post(path, &caller).json(&body).send().await.ok()?;
        (response.status() == 200).then_some(())
    })
    .await;
    let (first, second) = (call("qwen").await.unwrap(), call("qwen").await.unwrap());
    testkit::until("both serve the name", async || {
        (mia.backend.open_responses() == 1 && tom.backend.open_responses() == 1).then_some(())
    })
    .await;
    drop((first, second));

    mia.run(&["unshare", "qwen", "--with", "tom"]).await;
    tom.until_model("rejected").await;
    mia.until_model("ready").await;
    mcpd.until_active(&caller, "qwen").await;
    mia.home.until_status("the request again", |s| s["nameRequests"] == request).await;
    mia.run(&["decline", "qwen", "--user", "tom"]).await;
    mia.home.until_status("no request", |s| s["nameRequests"] == json!([])).await;
}

/// A protocol 1 server with scripted replies, and an agent that publishes `qwen` to it.
struct ScriptedServer {
    server: Protocol1Peer,
    home: Home,
    url: String,
    _backend: FakeBackend,
    _agent: Agent,
}

impl ScriptedServer {
    async fn with_faults(faults: Value) -> Self {
        let (server, url) = Protocol1Peer::server().await;
        set_faults(&url, faults).await;
        let backend = FakeBackend::awake().await;
        let home = Home::with_config(&url, &[provider("qwen", &backend.url)]);
        let agent = Agent::scaled(&home, "t", SCALE);
        Self { server, home, url, _backend: backend, _agent: agent }
    }

    /// Waits for a register whose only provider fulfils `condition`.
    async fn until_registered(&self, condition: impl Fn(&Value) -> bool) {
        let provider = |event: &Value| condition(&event["register"]["providers"][0]);
        self.server.until_event("register", provider).await;
    }
}

async fn set_faults(url: &str, faults: Value) {
    reqwest::Client::new()
        .post(format!("{url}/control/faults"))
        .json(&faults)
        .send()
        .await
        .unwrap();
}

#[tokio::test]
async fn a_refused_name_is_changed_by_the_command_that_the_status_shows() {
    let refused = json!({"name": "qwen", "code": "llm_name_taken", "detail": "qwen is taken",
                         "suggestion": "qwen-mia"});
    let setup =
        ScriptedServer::with_faults(json!({"registerReply": {"rejected": [refused]}})).await;
    let suggests = |s: &Value| s["providers"][0]["suggestion"] == "qwen-mia";
    setup.home.until_status("the suggestion", suggests).await;
    let status = setup.home.run(&["status"]).await.expect_success();
    assert!(status.contains("name taken: qwen is taken"), "{status}");
    assert!(status.contains("publish qwen --as qwen-mia"), "{status}");
    set_faults(&setup.url, json!({})).await;
    setup.home.run(&["publish", "qwen", "--as", "qwen-mia"]).await.expect_success();
    let own = "the-backends-own-name";
    setup
        .until_registered(|provider| provider["name"] == "qwen-mia" && provider["model"] == own)
        .await;
    setup.home.until_status("it is ready", |s| s["providers"][0]["state"] == "ready").await;
}

#[tokio::test]
async fn only_requests_of_single_users_are_shown_and_the_owners_decision_is_sent_with_register() {
    let request = |user: &str| json!({"name": "qwen", "user": user});
    let sent = [
        request("*"),
        request("group:all"),
        request("tom\u{1b}[2K"),
        request("ann"),
        request("o'neil"),
    ];
    let setup =
        ScriptedServer::with_faults(json!({"heartbeatReply": {"nameRequests": sent}})).await;
    let until_shown = |users: &[&str]| {
        let wanted: Vec<Value> = users.iter().map(|user| request(user)).collect();
        setup.home.until_status("the requests", move |s| s["nameRequests"] == json!(wanted))
    };
    until_shown(&["ann", "o'neil"]).await;
    let status = setup.home.run(&["status"]).await.expect_success();
    assert!(status.contains(r"share qwen --with 'o'\''neil'"), "{status}");
    setup.home.run(&["share", "qwen", "--with", "o'neil"]).await.expect_success();
    until_shown(&["ann"]).await;
    setup.until_registered(|provider| provider["shareName"] == json!(["o'neil"])).await;
    setup.home.run(&["decline", "qwen", "--user", "ann"]).await.expect_success();
    until_shown(&[]).await;
    assert!(
        setup.home.read("config.json").contains("declineName"),
        "the decision stays on this machine"
    );
    setup.home.run(&["unshare", "qwen", "--with", "o'neil"]).await.expect_success();
    until_shown(&["o'neil"]).await;
    let events = setup.server.events();
    let last = events.iter().rfind(|event| event["kind"] == "register").unwrap();
    assert!(last["register"]["providers"][0]["declineName"].is_null(), "{last}");
}

#[tokio::test]
async fn a_server_that_always_requests_another_register_does_not_keep_the_agent_busy() {
    let setup =
        ScriptedServer::with_faults(json!({"heartbeatReply": {"registerAgain": true}})).await;
    let at = testkit::until("four registers", async || {
        let events = setup.server.events();
        let registers = events.iter().filter(|event| event["kind"] == "register");
        let at: Vec<u64> = registers.map(|event| event["at"].as_u64().unwrap()).collect();
        (at.len() >= 4).then_some(at)
    })
    .await;
    // The first request is obeyed at once; then once per heartbeat, every 1.5 s at this scale.
    let gaps: Vec<u64> = at.windows(2).map(|two| two[1] - two[0]).skip(1).collect();
    assert!(gaps.iter().all(|gap| *gap > 750), "{gaps:?}");
}
