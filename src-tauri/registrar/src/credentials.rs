//! The bearer: where it comes from, and where it is kept.
//!
//! Read in this order: environment, a file that the environment names, systemd's credentials, the
//! keychain, `~/.mcpctl/credentials`. Kept in the keychain; in the file (0600) only when a person
//! says so. Never in config.json, a log or an argument.

use crate::home::{Home, write_private};
use crate::limits::FILE;
use crate::private_file;
use keychain::{Keychain, KeychainError};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use std::io;
use url::Url;

/// The service under which the keychain keeps the bearer; the user is the server's origin.
pub const SERVICE: &str = "dev.mcpctl.agent";
/// The bearer itself.
const TOKEN: &str = "MCPCTL_TOKEN";
/// A file with the bearer.
const TOKEN_FILE: &str = "MCPCTL_TOKEN_FILE";
/// The credential's name under systemd's `LoadCredential=`.
const SYSTEMD: &str = "mcpctl-token";

/// What is needed to talk to mcpd.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The server.
    pub url: Url,
    /// The bearer.
    pub bearer: SecretString,
    /// Where it came from.
    pub source: Source,
}

impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url && self.bearer.expose_secret() == other.bearer.expose_secret()
    }
}

/// Where a bearer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `MCPCTL_TOKEN`.
    Environment,
    /// `MCPCTL_TOKEN_FILE`, or `~/.mcpctl/credentials`.
    File,
    /// systemd's credentials.
    Systemd,
    /// The OS's keychain.
    Keychain,
}

impl Source {
    /// The word in the status.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Environment => "env",
            Self::File => "file",
            Self::Systemd => "systemd",
            Self::Keychain => "keychain",
        }
    }
}

/// Why there are none.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// No server.
    #[error("no server is set; run `mcplocal-agent login --url URL`")]
    NoServer,
    /// No bearer.
    #[error("no token for {0}; run `mcplocal-agent login --url {0}`")]
    NoToken(String),
    /// A person must unlock the keyring.
    #[error("the keyring is locked; unlock it and publishing goes on")]
    Locked,
    /// A file could not be used.
    #[error("{0} cannot be used: {1}")]
    File(String, String),
    /// The keychain failed.
    #[error(transparent)]
    Keychain(KeychainError),
}

/// The seed system's file.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CredentialsFile {
    mcpd_url: Option<String>,
    token: Option<String>,
    #[serde(skip_serializing)]
    bearer: Option<String>,
}

/// The credentials for the configured server, or for the one that the file names.
///
/// # Errors
/// [`CredentialsError`], in words for the owner.
pub async fn load(
    home: &Home,
    mcpd_url: Option<&Url>,
    keychain: &Keychain,
) -> Result<Credentials, CredentialsError> {
    let file = read_file(home)?;
    let named = file.mcpd_url.as_deref().map(crate::config::check_server_url);
    let url = match (mcpd_url, named) {
        (Some(url), _) => url.clone(),
        (None, Some(Ok(url))) => url,
        (None, Some(Err(why))) => {
            return Err(CredentialsError::File(home.credentials().display().to_string(), why));
        }
        (None, None) => return Err(CredentialsError::NoServer),
    };
    if let Some((token, source)) = from_environment()? {
        return Ok(Credentials { url, bearer: token.into(), source });
    }
    let kept = keychain.get(SERVICE, &origin(&url)).await;
    if let Ok(Some(bearer)) = kept {
        return Ok(Credentials { url, bearer, source: Source::Keychain });
    }
    if let Some(token) = file.token.or(file.bearer) {
        return Ok(Credentials { url, bearer: token.into(), source: Source::File });
    }
    Err(match kept {
        Err(KeychainError::Locked | KeychainError::Timeout) => CredentialsError::Locked,
        Err(KeychainError::Refused(why)) => CredentialsError::Keychain(KeychainError::Refused(why)),
        Ok(_) | Err(KeychainError::Unavailable(_)) => CredentialsError::NoToken(origin(&url)),
    })
}

/// Keeps the bearer in the keychain, reads it back, and forgets the file's copy.
///
/// # Errors
/// The keychain's; nothing has changed then.
pub async fn save(
    home: &Home,
    url: &Url,
    bearer: &SecretString,
    keychain: &Keychain,
) -> Result<(), KeychainError> {
    let user = origin(url);
    keychain.set(SERVICE, &user, bearer.clone()).await?;
    let back = keychain.get(SERVICE, &user).await?;
    if back.is_none_or(|back| back.expose_secret() != bearer.expose_secret()) {
        return Err(KeychainError::Refused("it did not keep the token".into()));
    }
    let _ = std::fs::remove_file(home.credentials());
    Ok(())
}

/// Keeps the bearer in a private file: for machines without a keychain, when a person says so.
///
/// # Errors
/// The file system's.
pub fn save_in_file(home: &Home, url: &Url, bearer: &SecretString) -> io::Result<()> {
    let file = CredentialsFile {
        mcpd_url: Some(origin(url)),
        token: Some(bearer.expose_secret().to_owned()),
        bearer: None,
    };
    write_private(&home.credentials(), &serde_json::to_vec_pretty(&file)?)
}

/// Forgets the bearer, in the keychain and in the file.
///
/// # Errors
/// The keychain's, unless there is none.
pub async fn delete(home: &Home, url: &Url, keychain: &Keychain) -> Result<(), KeychainError> {
    let _ = std::fs::remove_file(home.credentials());
    match keychain.delete(SERVICE, &origin(url)).await {
        Err(KeychainError::Unavailable(_)) => Ok(()),
        other => other,
    }
}

/// The bearer in the private file, if there is one.
#[must_use]
pub fn in_file(home: &Home) -> Option<SecretString> {
    let file = read_file(home).ok()?;
    file.token.or(file.bearer).map(SecretString::from)
}

/// The server that the private file names.
#[must_use]
pub fn server_in_file(home: &Home) -> Option<Url> {
    crate::config::check_server_url(&read_file(home).ok()?.mcpd_url?).ok()
}

/// The server's origin: scheme, host and port.
#[must_use]
pub fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn from_environment() -> Result<Option<(String, Source)>, CredentialsError> {
    // Set to nothing is how scripts unset a variable.
    if let Some(token) = std::env::var(TOKEN).ok().filter(|token| !token.trim().is_empty()) {
        return Ok(Some((token.trim().to_owned(), Source::Environment)));
    }
    let named = std::env::var_os(TOKEN_FILE).map(|path| (path.into(), Source::File));
    let systemd = std::env::var_os("CREDENTIALS_DIRECTORY")
        .map(|dir| (std::path::PathBuf::from(dir).join(SYSTEMD), Source::Systemd))
        .filter(|(path, _)| path.exists());
    let Some((path, source)) = named.or(systemd) else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|e| CredentialsError::File(path.display().to_string(), e.to_string()))?;
    Ok(Some((text.trim().to_owned(), source)))
}

fn read_file(home: &Home) -> Result<CredentialsFile, CredentialsError> {
    let path = home.credentials();
    match private_file::read(&path, FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(CredentialsFile::default()),
        Err(error) => Err(CredentialsError::File(path.display().to_string(), error.to_string())),
        // The parser's message could quote the token: only the place is told.
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
            let why = format!("not the expected JSON, line {}, column {}", e.line(), e.column());
            CredentialsError::File(path.display().to_string(), why)
        }),
    }
}
