//! Reads a certificate and its key from their files.

use crate::limits::CERTIFICATE_FILE;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::rustls::client::verify_server_cert_signed_by_trust_anchor;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, CertificateError as Verdict, InconsistentKeys, RootCertStore};

/// Seconds of a day.
const DAY: u64 = 24 * 3600;

/// Paths of a certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// PEM file of the certificate, followed by those of its issuers.
    pub certificate: PathBuf,
    /// PEM file of its private key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file is missing, unreadable or too large.
    #[error(
        "{} cannot be read: {error}; {flag} must name a PEM file that the user who runs mcpd may \
         read", .file.display()
    )]
    File {
        /// Flag that names the file.
        flag: &'static str,
        /// The file.
        file: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// A file has PEM marks, but what is between them is broken.
    #[error("{} is damaged: {error}; {flag} must name a whole PEM file", .file.display())]
    Pem {
        /// Flag that names the file.
        flag: &'static str,
        /// The file.
        file: PathBuf,
        /// What is broken.
        error: pem::Error,
    },
    /// The certificate's file has none.
    #[error(
        "{} has no certificate in it; --tls-cert must name a PEM file with the server's \
         certificate (`-----BEGIN CERTIFICATE-----`), followed by those of its issuers",
        .file.display()
    )]
    NoCertificate {
        /// The file.
        file: PathBuf,
    },
    /// The key's file has none.
    #[error(
        "{} has no private key in it; --tls-key must name a PEM file with the certificate's key, \
         not encrypted (PKCS#8, PKCS#1 or SEC1)", .file.display()
    )]
    NoKey {
        /// The file.
        file: PathBuf,
    },
    /// The certificate is no X.509 certificate of version 3.
    #[error(
        "the first certificate in {} cannot be used: {error}; --tls-cert must begin with the \
         server's own certificate, X.509 version 3", .file.display()
    )]
    Certificate {
        /// The certificate's file.
        file: PathBuf,
        /// What is wrong with it.
        error: rustls::Error,
    },
    /// The key is damaged or of a kind that is not supported.
    #[error(
        "the key in {} cannot be used: {error}; --tls-key must have an RSA key of 2048 to 8192 \
         bits, an ECDSA key (P-256, P-384, P-521) or an Ed25519 key", .file.display()
    )]
    Key {
        /// The key's file.
        file: PathBuf,
        /// What is wrong with it.
        error: rustls::Error,
    },
    /// The key belongs to another certificate.
    #[error(
        "the key in {} does not belong to the first certificate in {}; give the key that this \
         certificate was made for, and put the server's own certificate first",
        .key.display(), .certificate.display()
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The TLS library refuses to start.
    #[error("TLS cannot be set up: {0}; start mcpd without --tls-cert, behind a TLS proxy")]
    Setup(rustls::Error),
}

impl CertificateFiles {
    /// Reads both files and checks that they belong together. A certificate that is not valid now
    /// is logged.
    ///
    /// # Errors
    /// [`CertificateError`]: a file cannot be read, has no certificate or no key, or the two do not
    /// belong together.
    pub(super) fn read(
        &self,
        provider: &CryptoProvider,
    ) -> Result<Arc<CertifiedKey>, CertificateError> {
        let chain = self.read_certificates()?;
        let signing = provider
            .key_provider
            .load_private_key(self.read_key()?)
            .map_err(|error| CertificateError::Key { file: self.key.clone(), error })?;
        let certified = CertifiedKey::new(chain, signing);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                let (certificate, key) = (self.certificate.clone(), self.key.clone());
                return Err(CertificateError::Mismatch { certificate, key });
            }
            Err(error) => return Err(self.bad_certificate(error)),
        }
        self.check_dates(&certified)?;
        Ok(Arc::new(certified))
    }

    fn read_certificates(&self) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
        let (flag, file) = ("--tls-cert", &self.certificate);
        let text = read_file(flag, file)?;
        let chain = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(|error| {
            let file = file.clone();
            CertificateError::Pem { flag, file, error }
        })?;
        if chain.is_empty() {
            return Err(CertificateError::NoCertificate { file: file.clone() });
        }
        Ok(chain)
    }

    fn read_key(&self) -> Result<PrivateKeyDer<'static>, CertificateError> {
        let (flag, file) = ("--tls-key", self.key.clone());
        match PrivateKeyDer::from_pem_slice(&read_file(flag, &self.key)?) {
            Ok(key) => Ok(key),
            Err(pem::Error::NoItemsFound) => Err(CertificateError::NoKey { file }),
            Err(error) => Err(CertificateError::Pem { flag, file, error }),
        }
    }

    /// Logs that the certificate has expired or is not valid yet: it is used all the same, because
    /// the clock may be wrong, and because the other certificate might be missing.
    fn check_dates(&self, certified: &CertifiedKey) -> Result<(), CertificateError> {
        let bad = |error| self.bad_certificate(error);
        let certificate = certified.end_entity_cert().map_err(bad)?;
        let certificate = ParsedCertificate::try_from(certificate).map_err(bad)?;
        // Without trusted issuers the check always fails, but the dates are what it checks first.
        let (issuers, now) = (RootCertStore::empty(), UnixTime::now());
        let checked =
            verify_server_cert_signed_by_trust_anchor(&certificate, &issuers, &[], now, &[]);
        let file = self.certificate.display();
        match checked {
            Err(rustls::Error::InvalidCertificate(Verdict::ExpiredContext {
                not_after, ..
            })) => {
                let days = now.as_secs().saturating_sub(not_after.as_secs()) / DAY;
                let what = "the TLS certificate has expired and clients refuse it: renew it";
                tracing::warn!(%file, days_ago = days, "{what}");
            }
            Err(rustls::Error::InvalidCertificate(Verdict::NotValidYetContext {
                not_before,
                ..
            })) => {
                let days = not_before.as_secs().saturating_sub(now.as_secs()) / DAY;
                let what = "the TLS certificate is not valid yet and clients refuse it: check the \
                            clock";
                tracing::warn!(%file, in_days = days, "{what}");
            }
            Ok(()) | Err(_) => {}
        }
        Ok(())
    }

    fn bad_certificate(&self, error: rustls::Error) -> CertificateError {
        CertificateError::Certificate { file: self.certificate.clone(), error }
    }
}

fn read_file(flag: &'static str, path: &Path) -> Result<Vec<u8>, CertificateError> {
    let failed = |error| CertificateError::File { flag, file: path.to_owned(), error };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    let read = file.take(CERTIFICATE_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if read as u64 > CERTIFICATE_FILE {
        let message = format!("it has more than {CERTIFICATE_FILE} bytes");
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, message)));
    }
    Ok(bytes)
}
