//! The routes from a caller to the backend: mcplocal and its alternatives.

mod haproxy;
mod litellm;
mod nginx;
pub(crate) mod ours;
mod rathole;

use ours::Ours;
use std::any::Any;
use testkit::certificate::Certificate;
use testkit::process::Process;
use tokio_rustls::TlsConnector;

/// A route whose processes run until it is dropped.
pub(crate) struct Route {
    pub(crate) name: &'static str,
    /// `http://127.0.0.1:…`, or https.
    pub(crate) url: String,
    /// How callers connect to an https URL.
    pub(crate) tls: Option<TlsConnector>,
    /// True if it rewrites responses, so that their lengths differ from the backend's.
    pub(crate) rewrites: bool,
    pub(crate) token: String,
    /// Its processes, without the backend and the callers.
    pids: Vec<u32>,
    /// Kept alive until the route is dropped.
    resources: Box<dyn Any>,
}

/// The baseline: an outbound tunnel behind a proxy, which has the same hops as ours.
pub(crate) const FLOOR: &str = "nginx + rathole";
/// The route without any hop.
pub(crate) const DIRECT: &str = "direct";
/// The gateway that is measured on request.
pub(crate) const LITELLM: &str = "LiteLLM";
/// Ours.
pub(crate) const OURS: &str = "mcplocal";

impl Route {
    /// Returns the CPU seconds that its processes have used.
    pub(crate) fn cpu(&self) -> Option<f64> {
        self.sum(testkit::resource_usage::cpu)
    }

    /// Returns the proportional memory (PSS) of its processes, in MiB.
    pub(crate) fn memory(&self) -> Option<f64> {
        self.sum(testkit::resource_usage::memory)
    }

    /// Returns the resident memory (RSS) of its processes, shared pages included, in MiB.
    pub(crate) fn resident(&self) -> Option<f64> {
        self.sum(testkit::resource_usage::resident)
    }

    fn sum(&self, of: impl Fn(u32) -> f64) -> Option<f64> {
        (!self.pids.is_empty()).then(|| self.pids.iter().map(|pid| of(*pid)).sum())
    }

    fn through(name: &'static str, url: String, processes: Vec<Process>, more: impl Any) -> Self {
        let pids = processes.iter().map(Process::pid).collect();
        let resources = Box::new((processes, more));
        Self { name, url, tls: None, rewrites: false, token: "none".into(), pids, resources }
    }
}

/// Opens all routes, in the order of measurement.
pub(crate) async fn open(backend: &str) -> Vec<Route> {
    let ours = Ours::open(backend).await;
    let route = ours.route();
    vec![
        Route::through(DIRECT, backend.to_owned(), Vec::new(), ()),
        haproxy::before("haproxy", backend).await,
        nginx::before("nginx", backend, None, Vec::new(), ()).await,
        rathole::open(FLOOR, backend).await,
        Route { resources: Box::new(ours), ..route },
    ]
}

/// Opens the baseline and ours, with a delay between server and backend.
pub(crate) async fn open_far(backend: &str) -> Vec<Route> {
    let ours = Ours::open_far(backend).await;
    let route = ours.0.route();
    vec![rathole::open_far(FLOOR, backend).await, Route { resources: Box::new(ours), ..route }]
}

/// Opens the baseline and ours with TLS for callers and for the backend's machine.
pub(crate) async fn open_tls(backend: &str, tls: &Certificate) -> Vec<Route> {
    vec![rathole::open_tls(FLOOR, backend, tls).await, Ours::open_tls(backend, tls).await]
}

/// Opens the direct route, LiteLLM and ours.
pub(crate) async fn open_gateways(backend: &str) -> Vec<Route> {
    let ours = Ours::open(backend).await;
    let route = ours.route();
    vec![
        Route::through(DIRECT, backend.to_owned(), Vec::new(), ()),
        litellm::before(LITELLM, backend).await,
        Route { resources: Box::new(ours), ..route },
    ]
}

/// Waits until the port accepts connections.
async fn until_listening(port: u16) {
    testkit::until("the port accepts connections", async || {
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await;
}
