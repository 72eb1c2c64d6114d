//! `login` and `logout`. The token comes from a prompt or a pipe, never from an argument.

use anyhow::Context as _;
use client::{terminal, token_prompt};
use keychain::Keychain;
use registrar::account::{self, AccountError, Storage};
use registrar::home::Home;

pub(crate) async fn login(
    home: &Home,
    url: &str,
    code: Option<&str>,
    storage: Storage,
    keychain: &Keychain,
) -> anyhow::Result<()> {
    let token = match code {
        Some(code) => account::pair(url, code).await?,
        None => token_prompt::read_token(url)?,
    };
    let signed_in = account::sign_in(home, url, token, storage, keychain).await;
    let origin = match signed_in {
        Err(AccountError::Keychain(error)) => {
            return Err(error).context(
                "the token was not stored; on a machine without a keychain, --insecure-storage \
                 stores it in a file",
            );
        }
        other => other?,
    };
    let place = match storage {
        Storage::Keychain => "the keychain",
        Storage::File => "a private file",
    };
    terminal::line(format_args!("Signed in at {origin}; the token is stored in {place}."));
    Ok(())
}

pub(crate) async fn logout(home: &Home, keychain: &Keychain) -> anyhow::Result<()> {
    let origin = account::sign_out(home, keychain).await?;
    terminal::line(format_args!("The token for {origin} is deleted on this machine."));
    terminal::line("It remains valid until it is revoked at the server.");
    Ok(())
}
