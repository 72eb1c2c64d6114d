//! One name and two people who want it: the second is told a way out, the owner is asked, and decides.

use crate::{and, whole};
use serde_json::{Value, json};
use testkit::agent::{Agent, Home, provider};
use testkit::backend::Backend;
use testkit::caller::scripted;
use testkit::mcpd::Mcpd;
use testkit::peer::Peer;
use testkit::process::CommandLine as _;

/// Somebody who publishes `qwen`.
struct Person {
    home: Home,
    backend: Backend,
    _agent: Agent,
}

impl Person {
    async fn new(mcpd: &Mcpd, user: &str) -> Self {
        let backend = Backend::awake().await;
        let home = Home::with(&mcpd.url, &[provider("qwen", &backend.url)]);
        let agent = Agent::start(&home, &mcpd.token(user, "publish"));
        Self { home, backend, _agent: agent }
    }

    /// Waits until the agent's only model is so.
    async fn model(&self, state: &str) -> Value {
        let what = format!("its model is {state}");
        let status = self.home.shows(&what, |s| s["providers"][0]["state"] == state).await;
        status["providers"][0].clone()
    }

    async fn types(&self, arguments: &[&str]) -> String {
        self.home.run(arguments).await.good()
    }
}

#[tokio::test]
async fn the_second_user_of_a_name_is_told_another_one_and_publishes_under_it() {
    let mcpd = Mcpd::scaled(0.1).await;
    let caller = mcpd.token("eve", "infer");
    let _mia = Person::new(&mcpd, "mia").await;
    mcpd.active(&caller, "qwen").await;
    let tom = Person::new(&mcpd, "tom").await;
    let refused = tom.model("rejected").await;
    assert_eq!(refused["suggestion"], "qwen-tom", "{refused}");
    let why = refused["message"].as_str().unwrap();
    assert!(why.contains("qwen") && !why.contains("mia"), "{why}");
    let status = tom.types(&["status"]).await;
    assert!(status.contains("name taken") && status.contains(why), "{status}");
    assert!(status.contains("mcplocal-agent publish qwen --as qwen-tom"), "{status}");

    tom.types(&["publish", "qwen", "--as", "qwen-tom"]).await;
    mcpd.active(&caller, "qwen-tom").await;
    tom.model("ready").await;
    let answer = mcpd
        .post("/v1/chat/completions", &caller)
        .json(&and(whole(), &json!({"model": "qwen-tom"})));
    assert_eq!(answer.send().await.unwrap().status(), 200);
    let seen = tom.backend.seen();
    let asked: Value = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!(asked["model"], "the-backends-own-name");
}

#[tokio::test]
async fn the_owner_of_a_name_is_asked_shares_it_and_takes_it_back() {
    let mcpd = Mcpd::scaled(0.1).await;
    let caller = mcpd.token("eve", "infer");
    let mia = Person::new(&mcpd, "mia").await;
    mcpd.active(&caller, "qwen").await;
    let tom = Person::new(&mcpd, "tom").await;
    tom.model("rejected").await;

    let wish = json!([{"name": "qwen", "user": "tom"}]);
    mia.home.shows("who asks", |s| s["nameRequests"] == wish).await;
    let status = mia.types(&["status"]).await;
    assert!(status.contains("tom would like to publish qwen too"), "{status}");
    assert!(status.contains("mcplocal-agent share qwen --with tom"), "{status}");
    mia.types(&["share", "qwen", "--with", "tom"]).await;
    tom.model("ready").await;
    mia.home.shows("nobody asks", |s| s["nameRequests"] == json!([])).await;

    // Each takes one request at a time, and both are needed for two.
    let ask = |model: &str| {
        let body = scripted(model, json!({"do": "count", "n": 9, "stallAt": 3}));
        mcpd.post("/v1/chat/completions", &caller).json(&body).send()
    };
    testkit::until("tom's machine can be asked for by its owner's name", async || {
        let path = "/v1/chat/completions";
        let body = and(whole(), &json!({"model": "qwen@tom"}));
        let answer = mcpd.post(path, &caller).json(&body).send().await.ok()?;
        (answer.status() == 200).then_some(())
    })
    .await;
    let (first, second) = (ask("qwen").await.unwrap(), ask("qwen").await.unwrap());
    testkit::until("both serve the name", async || {
        (mia.backend.open() == 1 && tom.backend.open() == 1).then_some(())
    })
    .await;
    drop((first, second));

    mia.types(&["unshare", "qwen", "--with", "tom"]).await;
    tom.model("rejected").await;
    mia.model("ready").await;
    mcpd.active(&caller, "qwen").await;
    mia.home.shows("who asks again", |s| s["nameRequests"] == wish).await;
    mia.types(&["decline", "qwen", "--user", "tom"]).await;
    mia.home.shows("nobody asks", |s| s["nameRequests"] == json!([])).await;
}

/// A server that says what a test wants, and an agent that publishes `qwen` there.
struct Scripted {
    seed: Peer,
    home: Home,
    url: String,
    _backend: Backend,
    _agent: Agent,
}

impl Scripted {
    async fn saying(words: Value) -> Self {
        let seed = Peer::start("seed-mcpd.mjs", &[]);
        let url = seed.tells("listening", |_| true).await["url"].as_str().unwrap().to_owned();
        say(&url, words).await;
        let backend = Backend::awake().await;
        let home = Home::with(&url, &[provider("qwen", &backend.url)]);
        let agent = Agent::start(&home, "t");
        Self { seed, home, url, _backend: backend, _agent: agent }
    }

    /// Waits for a register whose only provider is so.
    async fn registers(&self, says: impl Fn(&Value) -> bool) {
        self.seed.tells("register", |told| says(&told["register"]["providers"][0])).await;
    }
}

async fn say(url: &str, words: Value) {
    reqwest::Client::new().post(format!("{url}/control/faults")).json(&words).send().await.unwrap();
}

#[tokio::test]
async fn a_refused_name_is_left_behind_with_the_command_that_the_status_shows() {
    let refused = json!({"name": "qwen", "code": "llm_name_taken", "detail": "qwen is taken",
                         "suggestion": "qwen-mia"});
    let world = Scripted::saying(json!({"registered": {"rejected": [refused]}})).await;
    let suggests = |s: &Value| s["providers"][0]["suggestion"] == "qwen-mia";
    world.home.shows("the suggestion", suggests).await;
    let status = world.home.run(&["status"]).await.good();
    assert!(status.contains("name taken: qwen is taken"), "{status}");
    assert!(status.contains("publish qwen --as qwen-mia"), "{status}");
    say(&world.url, json!({})).await;
    world.home.run(&["publish", "qwen", "--as", "qwen-mia"]).await.good();
    let own = "the-backends-own-name";
    world.registers(|provider| provider["name"] == "qwen-mia" && provider["model"] == own).await;
    world.home.shows("it is ready", |s| s["providers"][0]["state"] == "ready").await;
}

#[tokio::test]
async fn only_a_request_of_one_user_is_shown_and_what_the_owner_decides_travels_with_register() {
    let asks = |user: &str| json!({"name": "qwen", "user": user});
    let sent = [asks("*"), asks("group:all"), asks("tom\u{1b}[2K"), asks("ann"), asks("o'neil")];
    let world = Scripted::saying(json!({"beaten": {"nameRequests": sent}})).await;
    let shows = |users: &[&str]| {
        let wanted: Vec<Value> = users.iter().map(|user| asks(user)).collect();
        world.home.shows("who asks", move |s| s["nameRequests"] == json!(wanted))
    };
    shows(&["ann", "o'neil"]).await;
    let status = world.home.run(&["status"]).await.good();
    assert!(status.contains(r"share qwen --with 'o'\''neil'"), "{status}");
    world.home.run(&["share", "qwen", "--with", "o'neil"]).await.good();
    shows(&["ann"]).await;
    world.registers(|provider| provider["shareName"] == json!(["o'neil"])).await;
    world.home.run(&["decline", "qwen", "--user", "ann"]).await.good();
    shows(&[]).await;
    assert!(world.home.read("config.json").contains("declineName"), "it stays on this machine");
    world.home.run(&["unshare", "qwen", "--with", "o'neil"]).await.good();
    shows(&["o'neil"]).await;
    let told = world.seed.told();
    let last = told.iter().rfind(|told| told["kind"] == "register").unwrap();
    assert!(last["register"]["providers"][0]["declineName"].is_null(), "{last}");
}

#[tokio::test]
async fn a_server_that_always_asks_for_another_register_does_not_keep_the_agent_busy() {
    let world = Scripted::saying(json!({"beaten": {"registerAgain": true}})).await;
    let at = testkit::until("four registers", async || {
        let told = world.seed.told();
        let registers = told.iter().filter(|told| told["kind"] == "register");
        let at: Vec<u64> = registers.map(|told| told["at"].as_u64().unwrap()).collect();
        (at.len() >= 4).then_some(at)
    })
    .await;
    // The first reply is obeyed at once; then once per heartbeat, which is 3 s at a tenth.
    let gaps: Vec<u64> = at.windows(2).map(|two| two[1] - two[0]).skip(1).collect();
    assert!(gaps.iter().all(|gap| *gap > 1_500), "{gaps:?}");
}
