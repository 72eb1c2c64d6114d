//! mcpd and mcplocal-agent in their default configuration.

use super::{OURS, Route, nginx};
use crate::delay_proxy::DelayProxy;
use serde_json::{Value, json};
use testkit::agent::{Agent, Home, provider};
use testkit::certificate::Certificate;
use testkit::mcpd::Mcpd;

/// A server, and an agent that is connected to it.
pub(crate) struct Ours {
    pub(crate) mcpd: Mcpd,
    pub(crate) agent: Agent,
    /// The caller's token.
    pub(crate) caller: String,
}

impl Ours {
    /// Starts both, with the model `bench`, which has a slot for every caller.
    pub(crate) async fn open(backend: &str) -> Self {
        let mcpd = Mcpd::logging("info", 1.0).await;
        let url = mcpd.url.clone();
        let ours = Self::publish(mcpd, &url, &bench(backend));
        ours.mcpd.until_active(&ours.caller, "bench").await;
        ours
    }

    /// Starts both, each run by a tool.
    pub(crate) async fn open_run_by(backend: &str, tools: [&[String]; 2]) -> Self {
        let mcpd = Mcpd::run_by(tools[0]).await;
        let (publisher, caller) = (mcpd.token("mia", "publish"), mcpd.token("tom", "infer"));
        let home = Home::with_config(&mcpd.url, &[bench(backend)]);
        let agent = Agent::run_by(tools[1], &home, &environment(&publisher));
        let ours = Self { mcpd, agent, caller };
        ours.mcpd.until_active(&ours.caller, "bench").await;
        ours
    }

    /// Starts both, with a delay between the two.
    pub(crate) async fn open_far(backend: &str) -> (Self, DelayProxy) {
        let mcpd = Mcpd::logging("info", 1.0).await;
        let delay = DelayProxy::before(mcpd.url.trim_start_matches("http://")).await;
        let ours = Self::publish(mcpd, &format!("http://{}", delay.address), &bench(backend));
        ours.mcpd.until_active(&ours.caller, "bench").await;
        (ours, delay)
    }

    /// Starts both behind an nginx with TLS, for callers and for the agent.
    pub(super) async fn open_tls(backend: &str, tls: &Certificate) -> Route {
        let mcpd = Mcpd::logging("info", 1.0).await;
        let front = nginx::before(OURS, &mcpd.url, Some(tls), Vec::new(), ()).await;
        let (publisher, token) = (mcpd.token("mia", "publish"), mcpd.token("tom", "infer"));
        let home = Home::with_config(&front.url, &[bench(backend)]);
        let trusted = tls.file().display().to_string();
        let agent = start(&home, &publisher, &[("MCPCTL_CA_FILE", &trusted)]);
        mcpd.until_active(&token, "bench").await;
        let pids = [front.pids.clone(), vec![mcpd.process.pid(), agent.process.pid()]].concat();
        Route { token, pids, resources: Box::new((front.resources, mcpd, agent)), ..front }
    }

    /// Starts an agent that publishes this entry, and does not wait until it is listed.
    pub(crate) fn publish(mcpd: Mcpd, url: &str, entry: &Value) -> Self {
        let (publisher, caller) = (mcpd.token("mia", "publish"), mcpd.token("tom", "infer"));
        let home = Home::with_config(url, std::slice::from_ref(entry));
        let agent = start(&home, &publisher, &[]);
        Self { mcpd, agent, caller }
    }

    /// The route through them.
    pub(crate) fn route(&self) -> Route {
        Route {
            name: OURS,
            url: self.mcpd.url.clone(),
            tls: None,
            rewrites: false,
            token: self.caller.clone(),
            pids: vec![self.mcpd.process.pid(), self.agent.process.pid()],
            resources: Box::new(()),
        }
    }
}

fn bench(backend: &str) -> Value {
    let mut entry = provider("bench", backend);
    entry["maxConcurrency"] = json!(128);
    entry
}

/// Starts an agent with real time scale and the default log level.
pub(crate) fn start(home: &Home, token: &str, more: &[(&str, &str)]) -> Agent {
    Agent::with_environment(home, &[&environment(token), more].concat())
}

fn environment(token: &str) -> [(&'static str, &str); 3] {
    [("MCPCTL_TIME_SCALE", "1"), ("RUST_LOG", "info"), ("MCPCTL_TOKEN", token)]
}
