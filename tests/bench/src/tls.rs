//! TLS as a team would have it: a certificate in front, and callers that trust it.

use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A certificate of this run for 127.0.0.1, which is its own authority.
pub(crate) struct Certificate {
    /// Callers that trust it, and nothing else.
    pub(crate) callers: TlsConnector,
    folder: TempDir,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { callers: TlsConnector::from(Arc::new(config)), folder }
    }

    /// The file with the certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// The file with its key.
    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }
}
