//! The bearer token for mcpd: where it is read from and stored.
//!
//! Read in this order: environment, a file named in the environment, systemd's credentials, the
//! keychain, `~/.mcpctl/credentials`. Stored in the keychain, or in the file (0600) if the user
//! chooses that. Never in config.json, a log or an argument.

use crate::home::Home;
use crate::limits::FILE;
use client::server_url::{self, origin};
use client::{environment, private_file};
use keychain::{Keychain, KeychainError};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use std::io;
use url::Url;

/// Service name of the keychain entry; its user is the server's origin.
pub const SERVICE: &str = "dev.mcpctl.agent";
/// Environment variable that names a file with the token.
const TOKEN_FILE: &str = "MCPCTL_TOKEN_FILE";
/// Name of the credential in systemd's `LoadCredential=`.
const SYSTEMD: &str = "mcpctl-token";

/// A server and the token for it.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The server.
    pub url: Url,
    /// The token.
    pub bearer: SecretString,
    /// Where the token came from.
    pub source: TokenSource,
}

impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url && self.bearer.expose_secret() == other.bearer.expose_secret()
    }
}

/// Where a token came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenSource {
    /// `MCPCTL_TOKEN`.
    Environment,
    /// `MCPCTL_TOKEN_FILE`, or `~/.mcpctl/credentials`.
    File,
    /// systemd's credentials.
    Systemd,
    /// The OS's keychain.
    Keychain,
}

impl TokenSource {
    /// Returns the name used in `status.json`.
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

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// No server is configured.
    #[error("no server is set; run `mcplocal-agent login --url URL`")]
    NoServer,
    /// No token is stored for this server.
    #[error("no token for {0}; run `mcplocal-agent login --url {0}`")]
    NoToken(String),
    /// The keyring must be unlocked first.
    #[error("the keyring is locked; unlock it to continue publishing")]
    Locked,
    /// A file is unreadable or invalid: its path, and the cause.
    #[error("{0} cannot be used: {1}")]
    File(String, String),
    /// The keychain failed.
    #[error(transparent)]
    Keychain(KeychainError),
}

/// Contents of `~/.mcpctl/credentials`, a format of the seed system.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CredentialsFile {
    mcpd_url: Option<String>,
    token: Option<String>,
    #[serde(skip_serializing)]
    bearer: Option<String>,
}

/// Loads the credentials for the configured server, or else for the one in the credentials file.
///
/// # Errors
/// There is no server or no token, the keyring is locked or fails, or a file cannot be used.
pub async fn load(
    home: &Home,
    mcpd_url: Option<&Url>,
    keychain: &Keychain,
) -> Result<Credentials, CredentialsError> {
    let file = read_file(home)?;
    let named = file.mcpd_url.as_deref().map(server_url::parse);
    let url = match (mcpd_url, named) {
        (Some(url), _) => url.clone(),
        (None, Some(Ok(url))) => url,
        (None, Some(Err(why))) => {
            return Err(CredentialsError::File(home.credentials().display().to_string(), why));
        }
        (None, None) => return Err(CredentialsError::NoServer),
    };
    if let Some((token, source)) = from_environment()? {
        return Ok(Credentials { url, bearer: token, source });
    }
    let stored = keychain.get(SERVICE, &origin(&url)).await;
    if let Ok(Some(bearer)) = stored {
        return Ok(Credentials { url, bearer, source: TokenSource::Keychain });
    }
    if let Some(token) = file.token.or(file.bearer) {
        return Ok(Credentials { url, bearer: token.into(), source: TokenSource::File });
    }
    Err(match stored {
        Err(KeychainError::Locked | KeychainError::Timeout) => CredentialsError::Locked,
        Err(KeychainError::Refused(why)) => CredentialsError::Keychain(KeychainError::Refused(why)),
        Ok(_) | Err(KeychainError::Unavailable(_)) => CredentialsError::NoToken(origin(&url)),
    })
}

/// Stores the token in the keychain, reads it back, and deletes the copy in the file.
///
/// # Errors
/// The keychain is locked, missing or refuses, or returns another token; the file is unchanged.
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
        return Err(KeychainError::Refused("it did not store the token".into()));
    }
    let _ = std::fs::remove_file(home.credentials());
    Ok(())
}

/// Stores the token in a private file, for machines without a keychain.
///
/// # Errors
/// The file cannot be written.
pub fn save_in_file(home: &Home, url: &Url, bearer: &SecretString) -> io::Result<()> {
    let file = CredentialsFile {
        mcpd_url: Some(origin(url)),
        token: Some(bearer.expose_secret().to_owned()),
        bearer: None,
    };
    private_file::write(&home.credentials(), &serde_json::to_vec_pretty(&file)?)
}

/// Deletes the token from the keychain and from the file.
///
/// # Errors
/// The keychain is locked or refuses. Having no keychain is not an error.
pub async fn delete(home: &Home, url: &Url, keychain: &Keychain) -> Result<(), KeychainError> {
    let _ = std::fs::remove_file(home.credentials());
    match keychain.delete(SERVICE, &origin(url)).await {
        Err(KeychainError::Unavailable(_)) => Ok(()),
        other => other,
    }
}

/// Returns the token in the private file, if there is one.
#[must_use]
pub fn token_in_file(home: &Home) -> Option<SecretString> {
    let file = read_file(home).ok()?;
    file.token.or(file.bearer).map(SecretString::from)
}

/// Returns the server in the private file, if there is one.
#[must_use]
pub fn server_in_file(home: &Home) -> Option<Url> {
    server_url::parse(&read_file(home).ok()?.mcpd_url?).ok()
}

fn from_environment() -> Result<Option<(SecretString, TokenSource)>, CredentialsError> {
    if let Some(token) = environment::token() {
        return Ok(Some((token, TokenSource::Environment)));
    }
    let named = std::env::var_os(TOKEN_FILE).map(|path| (path.into(), TokenSource::File));
    let systemd = std::env::var_os("CREDENTIALS_DIRECTORY")
        .map(|dir| (std::path::PathBuf::from(dir).join(SYSTEMD), TokenSource::Systemd))
        .filter(|(path, _)| path.exists());
    let Some((path, source)) = named.or(systemd) else {
        return Ok(None);
    };
    let text = std::fs::read_to_string(&path)
        .map_err(|e| CredentialsError::File(path.display().to_string(), e.to_string()))?;
    Ok(Some((text.trim().into(), source)))
}

fn read_file(home: &Home) -> Result<CredentialsFile, CredentialsError> {
    let path = home.credentials();
    match private_file::read(&path, FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(CredentialsFile::default()),
        Err(error) => Err(CredentialsError::File(path.display().to_string(), error.to_string())),
        // The parser's message could quote the token, so only the position is shown.
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| {
            let why = format!("not the expected JSON, line {}, column {}", e.line(), e.column());
            CredentialsError::File(path.display().to_string(), why)
        }),
    }
}
