//! Which server, which token: the environment first, then `~/.mcpctl/cli.json` and the keychain.

mod folder;

use crate::out;
use anyhow::{Context as _, bail};
use folder::{File, Folder};
use keychain::{Keychain, KeychainError};
use secrecy::{ExposeSecret as _, SecretString};
use std::io::{IsTerminal as _, Read as _};
use url::Url;

/// The service under which the keychain keeps the token; the user is the server's origin.
const SERVICE: &str = "dev.mcpctl.cli";
/// The token itself, for scripts.
const TOKEN: &str = "MCPCTL_TOKEN";
/// The longest token that is read from a pipe.
const MAX_TOKEN: u64 = 4096;

/// The settings in force.
pub(crate) struct Settings {
    folder: Folder,
    file: File,
    url: Option<String>,
    keychain: Keychain,
}

impl Settings {
    /// Reads them; `url` is the one of the command line.
    pub(crate) fn load(url: Option<String>) -> anyhow::Result<Self> {
        let folder = Folder::from_env()?;
        let file = folder.read()?;
        let url = url.or_else(|| file.url.clone());
        Ok(Self { folder, file, url, keychain: Keychain::os() })
    }

    /// The server.
    pub(crate) fn server(&self) -> anyhow::Result<Url> {
        let text = self.url.as_deref().context(
            "no server is set; run `mcpctl config set-url https://…`, or set MCPCTL_URL",
        )?;
        check(text)
    }

    /// The token for the server.
    pub(crate) async fn token(&self) -> anyhow::Result<SecretString> {
        let (token, _) = self.find_token().await?;
        token.context("no token; run `mcpctl config set-token`, or set MCPCTL_TOKEN")
    }

    async fn find_token(&self) -> anyhow::Result<(Option<SecretString>, &'static str)> {
        // Set to nothing is how scripts unset a variable.
        if let Some(token) = std::env::var(TOKEN).ok().filter(|token| !token.trim().is_empty()) {
            return Ok((Some(token.trim().to_owned().into()), "environment"));
        }
        if let Some(token) = &self.file.token {
            return Ok((Some(token.clone().into()), "cli.json"));
        }
        match self.keychain.get(SERVICE, &self.user()?).await {
            Ok(token) => Ok((token, "keychain")),
            Err(KeychainError::Unavailable(_)) => Ok((None, "nowhere")),
            Err(error) => Err(error.into()),
        }
    }

    fn user(&self) -> anyhow::Result<String> {
        Ok(self.server()?.origin().ascii_serialization())
    }

    pub(crate) fn set_url(mut self, url: &str) -> anyhow::Result<()> {
        let url = check(url)?;
        self.file.url = Some(url.as_str().trim_end_matches('/').to_owned());
        self.folder.write(&self.file)?;
        out::line(format_args!("The server is {url} now."));
        Ok(())
    }

    pub(crate) async fn set_token(mut self, in_file: bool) -> anyhow::Result<()> {
        let server = self.server()?;
        let mut text = String::new();
        if std::io::stdin().is_terminal() {
            text = rpassword::prompt_password(format!("Token for {server}: "))?;
        } else {
            std::io::stdin().take(MAX_TOKEN).read_to_string(&mut text)?;
        }
        let token = SecretString::from(text.trim().to_owned());
        if token.expose_secret().is_empty() {
            bail!("the token is empty; nothing was changed");
        }
        if in_file {
            self.file.token = Some(token.expose_secret().to_owned());
            self.folder.write(&self.file)?;
            out::line(format_args!(
                "The token is in {}, readable by you only.",
                self.folder.file().display()
            ));
            return Ok(());
        }
        self.keychain.set(SERVICE, &self.user()?, token).await.context(
            "the token was not kept; without a keychain, --insecure-storage keeps it in a file",
        )?;
        self.file.token = None;
        self.folder.write(&self.file)?;
        out::line(format_args!("The token is in the keychain."));
        Ok(())
    }

    pub(crate) async fn show(&self) {
        out::line(format_args!("server  {}", self.url.as_deref().unwrap_or("not set")));
        let found = match self.find_token().await {
            Ok((Some(_), place)) => format!("from {place}"),
            Ok((None, _)) => "not set".to_owned(),
            Err(error) => error.to_string(),
        };
        out::line(format_args!("token   {found}"));
        out::line(format_args!("file    {}", self.folder.file().display()));
    }

    pub(crate) async fn unset(mut self) -> anyhow::Result<()> {
        if let Ok(user) = self.user() {
            match self.keychain.delete(SERVICE, &user).await {
                Ok(()) | Err(KeychainError::Unavailable(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.file = File::default();
        self.folder.write(&self.file)?;
        out::line(format_args!("Server and token are forgotten here."));
        Ok(())
    }
}

fn check(text: &str) -> anyhow::Result<Url> {
    let url = Url::parse(text.trim()).with_context(|| format!("{text:?} is no URL"))?;
    let loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        _ => bail!("{text:?} must start with https:// (http:// only on this machine)"),
    }
}
