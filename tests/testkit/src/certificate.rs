//! A self-signed certificate for 127.0.0.1 in files, and clients that trust it.

use rcgen::{CertificateParams, CertifiedKey, KeyPair};
use reqwest::Client;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A self-signed certificate.
pub struct Certificate {
    /// Connects callers that trust only this certificate.
    pub callers: TlsConnector,
    made: CertifiedKey<KeyPair>,
    folder: TempDir,
}

impl Certificate {
    /// Makes one that is valid now.
    #[must_use]
    pub fn valid() -> Self {
        Self::store(make(), tempfile::tempdir().unwrap())
    }

    /// Makes one that is valid now, for these names and addresses.
    #[must_use]
    pub fn valid_for(names: &[&str]) -> Self {
        let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        Self::store(made, tempfile::tempdir().unwrap())
    }

    /// Makes one that has expired.
    #[must_use]
    pub fn expired() -> Self {
        let signing_key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2001, 1, 1);
        let cert = parameters.self_signed(&signing_key).unwrap();
        Self::store(CertifiedKey { cert, signing_key }, tempfile::tempdir().unwrap())
    }

    /// Makes another one in the same files, certificate first.
    #[must_use]
    pub fn renew(self) -> Self {
        Self::store(make(), self.folder)
    }

    fn store(made: CertifiedKey<KeyPair>, folder: TempDir) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let this = Self { callers: TlsConnector::from(Arc::new(config)), made, folder };
        std::fs::write(this.file(), this.pem()).unwrap();
        std::fs::write(this.key(), this.made.signing_key.serialize_pem()).unwrap();
        this
    }

    /// Path of the certificate.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// Path of its key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// The certificate as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.made.cert.pem()
    }

    /// The certificate as it is sent in a handshake.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        self.made.cert.der()
    }

    /// An HTTP client that trusts only this certificate.
    #[must_use]
    pub fn client(&self) -> Client {
        let trusted = reqwest::Certificate::from_der(self.der()).unwrap();
        Client::builder().no_proxy().tls_certs_only([trusted]).build().unwrap()
    }
}

fn make() -> CertifiedKey<KeyPair> {
    rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap()
}
