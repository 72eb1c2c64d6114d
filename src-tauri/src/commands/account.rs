//! The page's server and token. The token goes in and never comes out.

use super::bounded;
use crate::limits::TRY_MAX;
use crate::window::Window;
use crate::words::say;
use client::server_url;
use keychain::KeychainError;
use registrar::account::{self, AccountError, Storage};
use registrar::test_request::{self, TestResponse};
use registrar::{credentials, mcpd_client};
use secrecy::SecretString;
use serde::Serialize;
use tauri::State;

/// Why signing in did not work, for a page that offers what helps.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(export))]
pub(crate) struct SignInProblem {
    /// In words.
    pub message: String,
    /// What the person could do.
    pub help: Help,
}

/// What helps.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) enum Help {
    /// Another URL.
    Url,
    /// Another token or code, or a server that is there.
    Token,
    /// Unlock the keyring and try again.
    Unlock,
    /// There is no keychain: a private file, if the person says so.
    File,
    /// Nothing that this page knows.
    None,
}

/// What is wrong with a server's URL while a person types it.
#[tauri::command]
pub(crate) fn check_server(url: String) -> Option<String> {
    server_url::parse(&url).err()
}

/// Tries a token and keeps it.
#[tauri::command]
pub(crate) async fn sign_in(
    app: State<'_, Window>,
    url: String,
    token: String,
    in_file: bool,
) -> Result<(), SignInProblem> {
    let token = SecretString::from(bounded(token).map_err(plain)?);
    keep(&app, &url, token, in_file).await
}

/// Turns a pairing code into a token and keeps that.
#[tauri::command]
pub(crate) async fn pair(
    app: State<'_, Window>,
    url: String,
    code: String,
    in_file: bool,
) -> Result<(), SignInProblem> {
    let code = bounded(code).map_err(plain)?;
    let token = account::pair(&url, &code).await.map_err(told)?;
    keep(&app, &url, token, in_file).await
}

async fn keep(
    app: &Window,
    url: &str,
    token: SecretString,
    in_file: bool,
) -> Result<(), SignInProblem> {
    let storage = if in_file { Storage::File } else { Storage::Keychain };
    let signed_in = account::sign_in(&app.home, url, token, storage, &app.keychain).await;
    signed_in.map(drop).map_err(told)
}

fn plain(message: String) -> SignInProblem {
    SignInProblem { message, help: Help::None }
}

fn told(error: AccountError) -> SignInProblem {
    let help = match &error {
        AccountError::Url(_) => Help::Url,
        AccountError::NoToken | AccountError::Server(_) => Help::Token,
        AccountError::Keychain(KeychainError::Locked | KeychainError::Timeout) => Help::Unlock,
        AccountError::Keychain(KeychainError::Unavailable(_)) => Help::File,
        AccountError::Keychain(KeychainError::Refused(_))
        | AccountError::File(_)
        | AccountError::Config(_)
        | AccountError::NoServer => Help::None,
    };
    SignInProblem { message: error.to_string(), help }
}

/// Forgets the token.
#[tauri::command]
pub(crate) async fn sign_out(app: State<'_, Window>) -> Result<(), String> {
    account::sign_out(&app.home, &app.keychain).await.map(drop).map_err(|error| error.to_string())
}

/// Moves a token from the private file into the keychain.
#[tauri::command]
pub(crate) async fn move_to_keychain(app: State<'_, Window>) -> Result<(), String> {
    let moved = account::move_to_keychain(&app.home, &app.keychain).await;
    moved.map_err(|error| error.to_string())
}

/// Asks the server whether it is there and takes the token.
#[tauri::command]
pub(crate) async fn test_connection(app: State<'_, Window>) -> Result<String, String> {
    let config = app.config();
    let loaded = credentials::load(&app.home, config.mcpd_url.as_ref(), &app.keychain).await;
    mcpd_client::check_access(loaded.map_err(|error| error.to_string())?).await?;
    Ok(say("connection.good"))
}

/// Asks a published model one short question through the server.
#[tauri::command]
pub(crate) async fn try_model(
    app: State<'_, Window>,
    name: String,
) -> Result<TestResponse, String> {
    test_request::send(&app.home, &app.keychain, &name, TRY_MAX).await
}
