//! Proxies that the environment names: one sees nothing of what goes to a server on this machine, and
//! nothing but ciphertext of what goes to another one.

use parking_lot::Mutex;
use std::sync::Arc;
use testkit::agent::{Agent, Home, provider};
use testkit::backend::Backend;
use testkit::mcpctl::Mcpctl;
use testkit::mcpd::Mcpd;
use testkit::process::CommandLine as _;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// Keeps what it hears and passes nothing on.
struct Proxy {
    url: String,
    heard: Arc<Mutex<String>>,
    _serving: AbortOnDropHandle<()>,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(String::new()));
        let hears = Arc::clone(&heard);
        let serving = tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut bytes = vec![0; 4096];
                let read = socket.read(&mut bytes).await.unwrap_or_default();
                hears.lock().push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
        });
        Self { url, heard, _serving: AbortOnDropHandle::new(serving) }
    }

    fn heard(&self) -> String {
        self.heard.lock().clone()
    }

    /// As the environment names it in these variables, which are in both cases; all others say nothing.
    fn named(&self, names: &[&str]) -> Vec<(String, String)> {
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
async fn no_proxy_hears_of_a_server_on_this_machine() {
    let (mcpd, backend, proxy) =
        (Mcpd::start().await, Backend::awake().await, Proxy::start().await);
    let environment = proxy.named(&["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]);
    let environment = borrowed(&environment);
    let home = Home::with(&mcpd.url, &[provider("qwen", &backend.url)]);
    let (publisher, caller) = (mcpd.token("mia", "publish"), mcpd.token("tom", "infer"));
    let with_token = [&environment[..], &[("MCPCTL_TOKEN", publisher.as_str())]].concat();
    let _agent = Agent::with(&home, &with_token);
    mcpd.active(&caller, "qwen").await;

    let tom = Mcpctl::with(&mcpd.url, &caller);
    let listed = tom.run_with(&["get", "llm"], "", &environment).await.good();
    assert!(listed.contains("qwen"), "{listed}");
    let said = tom.run_with(&["chat", "qwen", "hello"], "", &environment).await.good();
    assert!(said.contains('1'), "{said}");
    let found = home.run_with(&["doctor"], "", &with_token).await.out;
    assert!(found.contains("answers and takes the token"), "{found}");
    assert_eq!(proxy.heard(), "");
}

#[tokio::test]
async fn a_server_elsewhere_is_asked_through_the_proxy_that_sees_no_token() {
    const TOKEN: &str = "mcp_publish_canary";
    const URL: &str = "https://mcpd.invalid";
    let connect = "CONNECT mcpd.invalid:443";
    for named in ["HTTPS_PROXY", "ALL_PROXY"] {
        let proxy = Proxy::start().await;
        let environment = proxy.named(&[named]);
        let mut environment = borrowed(&environment);
        let tom = Mcpctl::with(URL, TOKEN);
        tom.run_with(&["get", "llm"], "", &environment).await.bad();
        assert!(proxy.heard().contains(connect), "{named}: {}", proxy.heard());

        let proxy = Proxy::start().await;
        let environment_of_agent = proxy.named(&[named]);
        environment = borrowed(&environment_of_agent);
        environment.push(("MCPCTL_TOKEN", TOKEN));
        let home = Home::with(URL, &[provider("qwen", "http://127.0.0.1:9")]);
        let _agent = Agent::with(&home, &environment);
        testkit::until("the proxy is asked", async || {
            proxy.heard().contains(connect).then_some(())
        })
        .await;
        assert!(!proxy.heard().contains(TOKEN), "{}", proxy.heard());
    }
    let proxy = Proxy::start().await;
    let mut environment = proxy.named(&["HTTPS_PROXY", "ALL_PROXY"]);
    for (_, value) in
        environment.iter_mut().filter(|(name, _)| name.eq_ignore_ascii_case("no_proxy"))
    {
        *value = "mcpd.invalid".into();
    }
    let tom = Mcpctl::with(URL, TOKEN);
    tom.run_with(&["get", "llm"], "", &borrowed(&environment)).await.bad();
    assert_eq!(proxy.heard(), "", "NO_PROXY names the server");
}
