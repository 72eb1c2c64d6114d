//! Proxies from the environment: they are not used for a server on this machine, and see only ciphertext
//! of the traffic to another one.

use parking_lot::Mutex;
use std::sync::Arc;
use testkit::agent::{Agent, Home, provider};
use testkit::fake_backend::FakeBackend;
use testkit::mcpctl::Mcpctl;
use testkit::mcpd::Mcpd;
use testkit::process::CommandLine as _;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// A proxy that records the first bytes of each connection and forwards nothing.
struct RecordingProxy {
    url: String,
    received: Arc<Mutex<String>>,
    _serving: AbortOnDropHandle<()>,
}

impl RecordingProxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(String::new()));
        let records = Arc::clone(&received);
        let serving = tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut bytes = vec![0; 4096];
                let read = socket.read(&mut bytes).await.unwrap_or_default();
                records.lock().push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        });
        Self { url, received, _serving: AbortOnDropHandle::new(serving) }
    }

    fn received(&self) -> String {
        self.received.lock().clone()
    }

    /// Environment that names this proxy in these variables, in upper and lower case; all other proxy
    /// variables are empty.
    fn environment(&self, names: &[&str]) -> Vec<(String, String)> {
        let all = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];
        let value = |name| if names.contains(&name) { self.url.clone() } else { String::new() };
        let both = |name: &str| [name.to_owned(), name.to_lowercase()];
        all.iter().flat_map(|name| both(name).map(|both| (both, value(*name)))).collect()
    }
}

fn borrowed(environment: &[(String, String)]) -> Vec<(&str, &str)> {
    environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[tokio::test]
async fn a_server_on_this_machine_is_never_reached_through_a_proxy() {
    let (mcpd, backend, proxy) =
        (Mcpd::start().await, FakeBackend::awake().await, RecordingProxy::start().await);
    let environment = proxy.environment(&["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]);
    let environment = borrowed(&environment);
    let home = Home::with_config(&mcpd.url, &[provider("qwen", &backend.url)]);
    let (publisher, caller) = (mcpd.token("mia", "publish"), mcpd.token("tom", "infer"));
    let with_token = [&environment[..], &[("MCPCTL_TOKEN", publisher.as_str())]].concat();
    let _agent = Agent::with_environment(&home, &with_token);
    mcpd.until_active(&caller, "qwen").await;

    let tom = Mcpctl::with(&mcpd.url, &caller);
    let listed = tom.run_with(&["get", "llm"], "", &environment).await.expect_success();
    assert!(listed.contains("qwen"), "{listed}");
    let output = tom.run_with(&["chat", "qwen", "hello"], "", &environment).await.expect_success();
    assert!(output.contains('1'), "{output}");
    let found = home.run_with(&["doctor"], "", &with_token).await.stdout;
    assert!(found.contains("answers and takes the token"), "{found}");
    assert_eq!(proxy.received(), "");
}

#[tokio::test]
async fn a_server_on_another_machine_is_reached_through_the_proxy_which_sees_no_token() {
    const TOKEN: &str = "mcp_publish_canary";
    const URL: &str = "https://mcpd.invalid";
    let connect = "CONNECT mcpd.invalid:443";
    for named in ["HTTPS_PROXY", "ALL_PROXY"] {
        let proxy = RecordingProxy::start().await;
        let environment = proxy.environment(&[named]);
        let mut environment = borrowed(&environment);
        let tom = Mcpctl::with(URL, TOKEN);
        tom.run_with(&["get", "llm"], "", &environment).await.expect_failure();
        assert!(proxy.received().contains(connect), "{named}: {}", proxy.received());

        let proxy = RecordingProxy::start().await;
        let environment_of_agent = proxy.environment(&[named]);
        environment = borrowed(&environment_of_agent);
        environment.push(("MCPCTL_TOKEN", TOKEN));
        let home = Home::with_config(URL, &[provider("qwen", "http://127.0.0.1:9")]);
        let _agent = Agent::with_environment(&home, &environment);
        testkit::until("the agent connects to the proxy", async || {
            proxy.received().contains(connect).then_some(())
        })
        .await;
        assert!(!proxy.received().contains(TOKEN), "{}", proxy.received());
    }
    let proxy = RecordingProxy::start().await;
    let mut environment = proxy.environment(&["HTTPS_PROXY", "ALL_PROXY"]);
    for (_, value) in
        environment.iter_mut().filter(|(name, _)| name.eq_ignore_ascii_case("no_proxy"))
    {
        *value = "mcpd.invalid".into();
    }
    let tom = Mcpctl::with(URL, TOKEN);
    tom.run_with(&["get", "llm"], "", &borrowed(&environment)).await.expect_failure();
    assert_eq!(proxy.received(), "", "NO_PROXY names the server");
}
