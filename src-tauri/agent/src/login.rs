//! `login` and `logout`. The token comes from a prompt or a pipe, never from an argument, which
//! every process of the machine could read.

use crate::out;
use anyhow::Context as _;
use keychain::Keychain;
use registrar::account::{self, AccountError, Storage};
use registrar::home::Home;
use secrecy::SecretString;
use std::io::{IsTerminal as _, Read as _};

/// The longest token that is read from a pipe.
const MAX_TOKEN: u64 = 4096;

pub(crate) async fn login(
    home: &Home,
    url: &str,
    code: Option<&str>,
    storage: Storage,
    keychain: &Keychain,
) -> anyhow::Result<()> {
    let bearer = match code {
        Some(code) => account::pair(url, code).await?,
        None => token(url)?,
    };
    let signed_in = account::sign_in(home, url, bearer, storage, keychain).await;
    let origin =
        match signed_in {
            Err(AccountError::Keychain(error)) => return Err(error).context(
                "the token was not kept; without a keychain, --insecure-storage keeps it in a file",
            ),
            other => other?,
        };
    let place = match storage {
        Storage::Keychain => "the keychain",
        Storage::File => "a private file",
    };
    out::line(format!("Signed in at {origin}; the token is in {place}."));
    Ok(())
}

fn token(url: &str) -> anyhow::Result<SecretString> {
    let mut text = String::new();
    if std::io::stdin().is_terminal() {
        text = rpassword::prompt_password(format!("Token for {url}: "))?;
    } else {
        std::io::stdin().take(MAX_TOKEN).read_to_string(&mut text)?;
    }
    Ok(text.into())
}

pub(crate) async fn logout(home: &Home, keychain: &Keychain) -> anyhow::Result<()> {
    let origin = account::sign_out(home, keychain).await?;
    out::line(format!("The token for {origin} is forgotten here."));
    out::line("It still works elsewhere until somebody revokes it at the server.");
    Ok(())
}
