//! Signing in and out: a token is checked at its server before anything changes, then stored, and
//! the publishing process is asked to reconnect.

use crate::config;
use crate::config::edit::Edit;
use crate::config::file::{self, EditError};
use crate::control_files::{self, ControlRequest};
use crate::credentials::{self, Credentials, TokenSource};
use crate::home::Home;
use crate::mcpd_client;
use client::server_url;
use keychain::{Keychain, KeychainError};
use secrecy::{ExposeSecret as _, SecretString};
use std::io;
use url::Url;

/// Where a token is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// The OS's keychain.
    Keychain,
    /// A private file (0600), for machines without a keychain.
    File,
}

/// Why signing in or out failed. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The URL cannot be used.
    #[error("{0}")]
    Url(String),
    /// The token is empty.
    #[error("the token is empty")]
    NoToken,
    /// The server is unreachable or refuses the token.
    #[error("{0}")]
    Server(String),
    /// The keychain does not store the token.
    #[error(transparent)]
    Keychain(#[from] KeychainError),
    /// The file cannot be written.
    #[error("the file cannot be written: {0}")]
    File(#[from] io::Error),
    /// config.json cannot be changed.
    #[error(transparent)]
    Config(#[from] EditError),
    /// There is no server to sign out of.
    #[error("no server is set")]
    NoServer,
}

/// Checks the token at the server, stores both and reconnects. Returns the server's origin.
///
/// # Errors
/// The URL, the token or the server cannot be used, or the token or config.json cannot be written.
pub async fn sign_in(
    home: &Home,
    url: &str,
    bearer: SecretString,
    storage: Storage,
    keychain: &Keychain,
) -> Result<String, AccountError> {
    let url = server_url::parse(url).map_err(AccountError::Url)?;
    if bearer.expose_secret().trim().is_empty() {
        return Err(AccountError::NoToken);
    }
    let bearer = SecretString::from(bearer.expose_secret().trim().to_owned());
    let source = match storage {
        Storage::Keychain => TokenSource::Keychain,
        Storage::File => TokenSource::File,
    };
    let checked = Credentials { url: url.clone(), bearer: bearer.clone(), source };
    mcpd_client::check_access(checked).await.map_err(AccountError::Server)?;
    store_token(home, &url, &bearer, storage, keychain).await?;
    file::apply(home, &Edit::SetMcpdUrl(server_url::to_stored(&url)))?;
    request_reconnect(home);
    Ok(server_url::origin(&url))
}

/// Stores the token in one place and deletes it from the other.
async fn store_token(
    home: &Home,
    url: &Url,
    bearer: &SecretString,
    storage: Storage,
    keychain: &Keychain,
) -> Result<(), AccountError> {
    match storage {
        Storage::Keychain => credentials::save(home, url, bearer, keychain).await?,
        Storage::File => {
            credentials::save_in_file(home, url, bearer)?;
            // The keychain is read first: an old token there would win.
            let _ = keychain.delete(credentials::SERVICE, &server_url::origin(url)).await;
        }
    }
    Ok(())
}

/// Exchanges a pairing code for a token.
///
/// # Errors
/// The URL cannot be used ([`AccountError::Url`]), or the server is unreachable or refuses the code
/// ([`AccountError::Server`]).
pub async fn pair(url: &str, code: &str) -> Result<SecretString, AccountError> {
    let url = server_url::parse(url).map_err(AccountError::Url)?;
    mcpd_client::pair(url, code).await.map_err(AccountError::Server)
}

/// Deletes the token, which ends publishing. Returns the server's origin.
///
/// # Errors
/// No server is set, or the keychain refuses.
pub async fn sign_out(home: &Home, keychain: &Keychain) -> Result<String, AccountError> {
    let url = server(home)?;
    credentials::delete(home, &url, keychain).await?;
    request_reconnect(home);
    Ok(server_url::origin(&url))
}

/// Moves a token from the private file into the keychain.
///
/// # Errors
/// There is no token in the file, or the keychain does not store it; the file is unchanged.
pub async fn move_to_keychain(home: &Home, keychain: &Keychain) -> Result<(), AccountError> {
    let url = server(home)?;
    let bearer = credentials::token_in_file(home).ok_or(AccountError::NoToken)?;
    credentials::save(home, &url, &bearer, keychain).await?;
    request_reconnect(home);
    Ok(())
}

/// Returns the server in config.json, or the one in the seed system's credentials file.
fn server(home: &Home) -> Result<Url, AccountError> {
    let text = file::read(&home.config())?;
    let configured = config::parse(&text).ok().and_then(|parsed| parsed.config.mcpd_url);
    configured.or_else(|| credentials::server_in_file(home)).ok_or(AccountError::NoServer)
}

fn request_reconnect(home: &Home) {
    if let Err(error) = control_files::send(home, &ControlRequest::Reconnect) {
        tracing::debug!(%error, "the publishing process could not be asked to reconnect");
    }
}
