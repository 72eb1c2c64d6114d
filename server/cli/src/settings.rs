//! Server and token: from the environment, or else from `~/.mcpctl/cli.json` and the keychain.

mod file;

use anyhow::{Context as _, bail};
use client::{environment, server_url, terminal, token_prompt};
use file::{Folder, SettingsFile};
use keychain::{Keychain, KeychainError};
use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

/// Service name of the keychain entry; its user is the server's origin.
const SERVICE: &str = "dev.mcpctl.cli";

/// The settings in force.
pub(crate) struct Settings {
    folder: Folder,
    file: SettingsFile,
    url: Option<String>,
    keychain: Keychain,
}

impl Settings {
    /// Loads the settings; `url` is the one on the command line or in the environment.
    pub(crate) fn load(url: Option<String>) -> anyhow::Result<Self> {
        let folder = Folder::from_env()?;
        let file = folder.read()?;
        let url = url.or_else(|| file.url.clone());
        Ok(Self { folder, file, url, keychain: Keychain::os() })
    }

    pub(crate) fn server(&self) -> anyhow::Result<Url> {
        let text = self.url.as_deref().context(
            "no server is set; run `mcpctl config set-url https://…`, or set MCPCTL_URL",
        )?;
        parse_server_url(text)
    }

    pub(crate) async fn token(&self) -> anyhow::Result<SecretString> {
        let (token, _) = self.find_token().await?;
        token.context("no token is set; run `mcpctl config set-token`, or set MCPCTL_TOKEN")
    }

    /// Returns the token, and where it came from.
    async fn find_token(&self) -> anyhow::Result<(Option<SecretString>, &'static str)> {
        if let Some(token) = environment::token() {
            return Ok((Some(token), "environment"));
        }
        if let Some(token) = &self.file.token {
            return Ok((Some(token.clone().into()), "cli.json"));
        }
        match self.keychain.get(SERVICE, &self.keychain_user()?).await {
            Ok(token) => Ok((token, "keychain")),
            Err(KeychainError::Unavailable(_)) => Ok((None, "nowhere")),
            Err(error) => Err(error.into()),
        }
    }

    fn keychain_user(&self) -> anyhow::Result<String> {
        Ok(server_url::origin(&self.server()?))
    }

    pub(crate) fn set_url(mut self, url: &str) -> anyhow::Result<()> {
        let url = parse_server_url(url)?;
        self.file.url = Some(server_url::to_stored(&url));
        self.folder.write(&self.file)?;
        terminal::line(format_args!("The server is {url} now."));
        Ok(())
    }

    pub(crate) async fn set_token(mut self, in_file: bool) -> anyhow::Result<()> {
        let token = token_prompt::read_token(self.server()?.as_str())?;
        if token.expose_secret().is_empty() {
            bail!("the token is empty; nothing was changed");
        }
        if in_file {
            self.file.token = Some(token.expose_secret().to_owned());
            self.folder.write(&self.file)?;
            terminal::line(format_args!(
                "The token is stored in {}, which only you can read.",
                self.folder.file().display()
            ));
            return Ok(());
        }
        self.keychain.set(SERVICE, &self.keychain_user()?, token).await.context(
            "the token was not stored; on a machine without a keychain, --insecure-storage \
             stores it in a file",
        )?;
        self.file.token = None;
        self.folder.write(&self.file)?;
        terminal::line("The token is stored in the keychain.");
        Ok(())
    }

    pub(crate) async fn show(&self) {
        terminal::line(format_args!("server  {}", self.url.as_deref().unwrap_or("not set")));
        let token = match self.find_token().await {
            Ok((Some(_), place)) => format!("from {place}"),
            Ok((None, _)) => "not set".to_owned(),
            Err(error) => error.to_string(),
        };
        terminal::line(format_args!("token   {token}"));
        terminal::line(format_args!("file    {}", self.folder.file().display()));
    }

    pub(crate) async fn unset(mut self) -> anyhow::Result<()> {
        if let Ok(user) = self.keychain_user() {
            match self.keychain.delete(SERVICE, &user).await {
                Ok(()) | Err(KeychainError::Unavailable(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.file = SettingsFile::default();
        self.folder.write(&self.file)?;
        terminal::line("Server and token are deleted on this machine.");
        Ok(())
    }
}

fn parse_server_url(text: &str) -> anyhow::Result<Url> {
    server_url::parse(text).map_err(anyhow::Error::msg)
}
