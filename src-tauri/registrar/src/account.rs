//! Signing in and out: a token is tried at its server before anything changes, kept where the person
//! says, and whoever publishes from this folder looks again.

use crate::client;
use crate::config::edit::Edit;
use crate::config::file::{self, EditError};
use crate::config::{self, check_server_url};
use crate::control_files::{self, ControlRequest};
use crate::credentials::{self, Credentials, Source};
use crate::home::Home;
use keychain::{Keychain, KeychainError};
use secrecy::{ExposeSecret as _, SecretString};
use std::io;
use url::Url;

/// Where a token is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// The OS's keychain.
    Keychain,
    /// A private file (0600): only when a person says so.
    File,
}

/// Why signing in or out failed. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The URL cannot be used.
    #[error("{0}")]
    Url(String),
    /// The text is no token.
    #[error("the token is empty")]
    NoToken,
    /// The server is not there or does not take the token.
    #[error("{0}")]
    Server(String),
    /// The keychain does not keep it.
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

/// Tries the token at the server, keeps both, and connects. The server's origin.
///
/// # Errors
/// [`AccountError`].
pub async fn sign_in(
    home: &Home,
    url: &str,
    bearer: SecretString,
    storage: Storage,
    keychain: &Keychain,
) -> Result<String, AccountError> {
    let url = check_server_url(url).map_err(AccountError::Url)?;
    if bearer.expose_secret().trim().is_empty() {
        return Err(AccountError::NoToken);
    }
    let bearer = SecretString::from(bearer.expose_secret().trim().to_owned());
    let source = match storage {
        Storage::Keychain => Source::Keychain,
        Storage::File => Source::File,
    };
    let tried = Credentials { url: url.clone(), bearer: bearer.clone(), source };
    client::check(tried).await.map_err(AccountError::Server)?;
    keep(home, &url, &bearer, storage, keychain).await?;
    file::apply(home, &Edit::SetMcpdUrl(url.as_str().trim_end_matches('/').to_owned()))?;
    look_again(home);
    Ok(credentials::origin(&url))
}

/// Keeps the token, and forgets where else it was kept.
async fn keep(
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
            // The keychain is asked first: an old token there would win.
            let _ = keychain.delete(credentials::SERVICE, &credentials::origin(url)).await;
        }
    }
    Ok(())
}

/// A pairing code becomes a token.
///
/// # Errors
/// [`AccountError::Url`], [`AccountError::Server`].
pub async fn pair(url: &str, code: &str) -> Result<SecretString, AccountError> {
    let url = check_server_url(url).map_err(AccountError::Url)?;
    client::pair(url, code).await.map_err(AccountError::Server)
}

/// Forgets the token; what is published goes. The server's origin.
///
/// # Errors
/// [`AccountError`].
pub async fn sign_out(home: &Home, keychain: &Keychain) -> Result<String, AccountError> {
    let url = server(home)?;
    credentials::delete(home, &url, keychain).await?;
    look_again(home);
    Ok(credentials::origin(&url))
}

/// Moves a token from the private file into the keychain.
///
/// # Errors
/// [`AccountError`]; the file is as it was then.
pub async fn move_to_keychain(home: &Home, keychain: &Keychain) -> Result<(), AccountError> {
    let url = server(home)?;
    let bearer = credentials::in_file(home).ok_or(AccountError::NoToken)?;
    credentials::save(home, &url, &bearer, keychain).await?;
    look_again(home);
    Ok(())
}

/// The server in config.json, or the one that the seed system's file names.
fn server(home: &Home) -> Result<Url, AccountError> {
    let text = file::read(&home.config())?;
    let configured = config::parse(&text).ok().and_then(|parsed| parsed.config.mcpd_url);
    configured.or_else(|| credentials::server_in_file(home)).ok_or(AccountError::NoServer)
}

fn look_again(home: &Home) {
    if let Err(error) = control_files::send(home, &ControlRequest::Reconnect) {
        tracing::debug!(%error, "nobody could be told to look again");
    }
}
