//! Commands for the server and the token. The page can set the token and never read it.

use super::bounded;
use crate::i18n::tr;
use crate::limits::TEST_REQUEST_MAX;
use crate::window::state::WindowState;
use client::server_url;
use keychain::KeychainError;
use registrar::account::{self, AccountError, Storage};
use registrar::test_request::{self, TestResponse};
use registrar::{credentials, mcpd_client};
use secrecy::SecretString;
use serde::Serialize;
use tauri::State;

/// Why signing in failed, and how the page can help.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS), ts(export))]
pub(crate) struct SignInProblem {
    /// The cause, in words.
    pub message: String,
    /// The help that the page offers.
    pub help: SignInHelp,
}

/// Kinds of help.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub(crate) enum SignInHelp {
    /// Enter another URL.
    Url,
    /// Enter another token or code, or wait for the server.
    Token,
    /// Unlock the keyring and try again.
    Unlock,
    /// There is no keychain: offer a private file.
    File,
    /// None.
    None,
}

/// Returns the error of a server's URL, if it has one.
#[tauri::command]
pub(crate) fn validate_server_url(url: String) -> Option<String> {
    server_url::parse(&url).err()
}

/// Signs in with a token: tries it at the server and stores it.
#[tauri::command]
pub(crate) async fn sign_in(
    window: State<'_, WindowState>,
    url: String,
    token: String,
    in_file: bool,
) -> Result<(), SignInProblem> {
    let token = SecretString::from(bounded(token).map_err(without_help)?);
    try_and_store(&window, &url, token, in_file).await
}

/// Signs in with a pairing code: exchanges it for a token and stores that.
#[tauri::command]
pub(crate) async fn sign_in_with_code(
    window: State<'_, WindowState>,
    url: String,
    code: String,
    in_file: bool,
) -> Result<(), SignInProblem> {
    let code = bounded(code).map_err(without_help)?;
    let token = account::pair(&url, &code).await.map_err(problem)?;
    try_and_store(&window, &url, token, in_file).await
}

async fn try_and_store(
    window: &WindowState,
    url: &str,
    token: SecretString,
    in_file: bool,
) -> Result<(), SignInProblem> {
    let storage = if in_file { Storage::File } else { Storage::Keychain };
    let signed_in = account::sign_in(&window.home, url, token, storage, &window.keychain).await;
    signed_in.map(drop).map_err(problem)
}

fn without_help(message: String) -> SignInProblem {
    SignInProblem { message, help: SignInHelp::None }
}

fn problem(error: AccountError) -> SignInProblem {
    let help = match &error {
        AccountError::Url(_) => SignInHelp::Url,
        AccountError::NoToken | AccountError::Server(_) => SignInHelp::Token,
        AccountError::Keychain(KeychainError::Locked | KeychainError::Timeout) => {
            SignInHelp::Unlock
        }
        AccountError::Keychain(KeychainError::Unavailable(_)) => SignInHelp::File,
        AccountError::Keychain(KeychainError::Refused(_))
        | AccountError::File(_)
        | AccountError::Config(_)
        | AccountError::NoServer => SignInHelp::None,
    };
    SignInProblem { message: error.to_string(), help }
}

/// Deletes the token from this machine.
#[tauri::command]
pub(crate) async fn sign_out(window: State<'_, WindowState>) -> Result<(), String> {
    account::sign_out(&window.home, &window.keychain)
        .await
        .map(drop)
        .map_err(|error| error.to_string())
}

/// Moves the token from the private file to the keychain.
#[tauri::command]
pub(crate) async fn move_token_to_keychain(window: State<'_, WindowState>) -> Result<(), String> {
    let moved = account::move_to_keychain(&window.home, &window.keychain).await;
    moved.map_err(|error| error.to_string())
}

/// Checks that the server responds and accepts the token.
#[tauri::command]
pub(crate) async fn test_connection(window: State<'_, WindowState>) -> Result<String, String> {
    let config = window.config();
    let loaded = credentials::load(&window.home, config.mcpd_url.as_ref(), &window.keychain).await;
    mcpd_client::check_access(loaded.map_err(|error| error.to_string())?).await?;
    Ok(tr("connection.works"))
}

/// Sends a short request to a published model through the server.
#[tauri::command]
pub(crate) async fn send_test_request(
    window: State<'_, WindowState>,
    name: String,
) -> Result<TestResponse, String> {
    test_request::send(&window.home, &window.keychain, &name, TEST_REQUEST_MAX).await
}
