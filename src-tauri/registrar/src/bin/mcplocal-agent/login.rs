//! `login` and `logout`. The token comes from a prompt or a pipe, never from an argument, which
//! every process of the machine could read.

use anyhow::{Context as _, bail};
use keychain::Keychain;
use registrar::config::edit::Edit;
use registrar::config::{check_server_url, file};
use registrar::credentials::{self, Credentials, Source};
use registrar::home::Home;
use registrar::{client, config};
use secrecy::{ExposeSecret as _, SecretString};
use std::io::{IsTerminal as _, Read as _};
use url::Url;

/// The longest token that is read from a pipe.
const MAX_TOKEN: u64 = 4096;

pub(crate) async fn login(
    home: &Home,
    url: &str,
    in_file: bool,
    keychain: &Keychain,
) -> anyhow::Result<()> {
    let url = check_server_url(url).map_err(anyhow::Error::msg)?;
    let bearer = token(&url)?;
    if bearer.expose_secret().is_empty() {
        bail!("the token is empty; nothing was changed");
    }
    let source = if in_file { Source::File } else { Source::Keychain };
    let tried = Credentials { url: url.clone(), bearer: bearer.clone(), source };
    client::check(tried).await.map_err(anyhow::Error::msg)?;
    if in_file {
        credentials::save_in_file(home, &url, &bearer).context("the file cannot be written")?;
    } else {
        credentials::save(home, &url, &bearer, keychain).await.context(
            "the token was not kept; without a keychain, --insecure-storage keeps it in a file",
        )?;
    }
    file::apply(home, &Edit::SetMcpdUrl(url.as_str().trim_end_matches('/').to_owned()))?;
    let place = if in_file { "a private file" } else { "the keychain" };
    println!("Signed in at {}; the token is in {place}.", credentials::origin(&url));
    Ok(())
}

fn token(url: &Url) -> anyhow::Result<SecretString> {
    let mut text = String::new();
    if std::io::stdin().is_terminal() {
        text = rpassword::prompt_password(format!("Token for {url}: "))?;
    } else {
        std::io::stdin().take(MAX_TOKEN).read_to_string(&mut text)?;
    }
    Ok(text.trim().to_owned().into())
}

pub(crate) async fn logout(home: &Home, keychain: &Keychain) -> anyhow::Result<()> {
    let text = file::read(&home.config())?;
    let parsed = config::parse(&text)?;
    let Some(url) = parsed.config.mcpd_url else {
        bail!("no server is set in {}", home.config().display());
    };
    credentials::delete(home, &url, keychain).await?;
    println!("The token for {} is forgotten here.", credentials::origin(&url));
    println!("It still works elsewhere until somebody revokes it at the server.");
    Ok(())
}
