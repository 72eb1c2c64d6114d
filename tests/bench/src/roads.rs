//! The ways from a caller to the backend: ours, and those that people would take instead.

mod haproxy;
mod litellm;
mod nginx;
pub(crate) mod ours;
mod rathole;

use crate::tls::Certificate;
use ours::Ours;
use std::any::Any;
use testkit::process::Process;
use tokio_rustls::TlsConnector;

/// A way that is open for as long as this lives.
pub(crate) struct Road {
    pub(crate) name: &'static str,
    /// `http://127.0.0.1:…`, or https.
    pub(crate) url: String,
    /// How callers connect where it is https.
    pub(crate) tls: Option<TlsConnector>,
    /// Whether it writes answers anew: their lengths say nothing then.
    pub(crate) rewrites: bool,
    pub(crate) token: String,
    /// Its processes; the backend and the callers are no part of it.
    pids: Vec<u32>,
    /// Ends with the road.
    open: Box<dyn Any>,
}

/// The road that ours is measured by: an outbound tunnel behind a proxy has the same hops.
pub(crate) const FLOOR: &str = "nginx + rathole";
/// The road with no hop at all.
pub(crate) const DIRECT: &str = "direct";
/// The gateway that is measured when asked.
pub(crate) const LITELLM: &str = "LiteLLM";
/// Ours.
pub(crate) const OURS: &str = "mcplocal";

impl Road {
    /// CPU seconds that its processes have used.
    pub(crate) fn cpu(&self) -> Option<f64> {
        self.sum(testkit::resource_usage::cpu)
    }

    /// Memory that its processes hold, their share of it (PSS), in MiB.
    pub(crate) fn memory(&self) -> Option<f64> {
        self.sum(testkit::resource_usage::memory)
    }

    /// The same with all that they share (RSS).
    pub(crate) fn resident(&self) -> Option<f64> {
        self.sum(testkit::resource_usage::resident)
    }

    fn sum(&self, of: impl Fn(u32) -> f64) -> Option<f64> {
        (!self.pids.is_empty()).then(|| self.pids.iter().map(|pid| of(*pid)).sum())
    }

    fn through(name: &'static str, url: String, processes: Vec<Process>, more: impl Any) -> Self {
        let pids = processes.iter().map(Process::pid).collect();
        let open = Box::new((processes, more));
        Self { name, url, tls: None, rewrites: false, token: "none".into(), pids, open }
    }
}

/// All of them, in the order in which they are measured.
pub(crate) async fn open(backend: &str) -> Vec<Road> {
    let ours = Ours::open(backend).await;
    let road = ours.road();
    vec![
        Road::through(DIRECT, backend.to_owned(), Vec::new(), ()),
        haproxy::before("haproxy", backend).await,
        nginx::before("nginx", backend, None, Vec::new(), ()).await,
        rathole::open(FLOOR, backend).await,
        Road { open: Box::new(ours), ..road },
    ]
}

/// The floor and ours with a long way between the server and the backend's machine.
pub(crate) async fn open_far(backend: &str) -> Vec<Road> {
    let ours = Ours::open_far(backend).await;
    let road = ours.0.road();
    vec![rathole::open_far(FLOOR, backend).await, Road { open: Box::new(ours), ..road }]
}

/// The floor and ours with TLS: in front of both, and on the way out of the backend's machine.
pub(crate) async fn open_tls(backend: &str, tls: &Certificate) -> Vec<Road> {
    vec![rathole::open_tls(FLOOR, backend, tls).await, Ours::open_tls(backend, tls).await]
}

/// LiteLLM between none and ours.
pub(crate) async fn open_gateways(backend: &str) -> Vec<Road> {
    let ours = Ours::open(backend).await;
    let road = ours.road();
    vec![
        Road::through(DIRECT, backend.to_owned(), Vec::new(), ()),
        litellm::before(LITELLM, backend).await,
        Road { open: Box::new(ours), ..road },
    ]
}

/// Waits until somebody listens there.
async fn listens(port: u16) {
    testkit::until("somebody listens", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await;
}
