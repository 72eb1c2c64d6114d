//! TLS of the listener: the certificate in force, handshakes, and the renewal of the certificate.

mod certificate;
mod renewal;

pub use certificate::{CertificateError, CertificateFiles};

use parking_lot::RwLock;
use renewal::Stamps;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// The only protocol inside TLS.
const ALPN: &[u8] = b"http/1.1";

/// A certificate and its key in force, and the files that they were read from.
pub struct Tls {
    acceptor: TlsAcceptor,
    in_force: Arc<InForce>,
    files: CertificateFiles,
    /// The files' stamps before they were read.
    stamps: Stamps,
}

impl Tls {
    /// Reads the files. An expired certificate is logged, and used.
    ///
    /// # Errors
    /// A file cannot be read, has no certificate or no key, or the two do not belong together.
    pub fn load(files: &CertificateFiles) -> Result<Arc<Self>, CertificateError> {
        let stamps = Stamps::of(files);
        let provider = Arc::new(default_provider());
        let in_force = Arc::new(InForce(RwLock::new(files.read(&provider)?)));
        // TLS 1.2 and 1.3.
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(CertificateError::Setup)?;
        let resolver = Arc::clone(&in_force);
        let mut config = config.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![ALPN.to_vec()];
        let acceptor = Arc::new(config).into();
        Ok(Arc::new(Self { acceptor, in_force, files: files.clone(), stamps }))
    }

    /// Makes the handshake on a new connection within `limit`. `None` if it fails: the socket is
    /// closed then.
    pub(crate) async fn accept<S>(&self, socket: S, limit: Duration) -> Option<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // A peer that breaks the protocol or leaves is common.
        match tokio::time::timeout(limit, self.acceptor.accept(socket)).await {
            Ok(Ok(stream)) => return Some(stream),
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
        None
    }

    /// Reads the files again when they have changed, and checks that every `interval`, until
    /// `stop`. Open connections are not affected.
    pub(crate) async fn renew(self: Arc<Self>, interval: Duration, stop: CancellationToken) {
        let tls = Arc::clone(&self);
        tokio::select! {
            () = renewal::follow(&self.files, self.stamps, interval, move || tls.read_again()) => {}
            () = stop.cancelled() => {}
        }
    }

    fn read_again(&self) {
        match self.files.read(self.acceptor.config().crypto_provider()) {
            Ok(certificate) => {
                *self.in_force.0.write() = certificate;
                tracing::info!("the TLS certificate was renewed");
            }
            Err(error) => {
                let why = "the new TLS certificate is not used, the one before stays in force";
                tracing::error!(%error, "{why}");
            }
        }
    }
}

/// The certificate that new connections get.
#[derive(Debug)]
struct InForce(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for InForce {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}
