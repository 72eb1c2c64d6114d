//! `~/.mcpctl/cli.json` and its folder. The file may hold a token, so both are private; a file that
//! cannot be read is an error and never counts as missing.

use crate::limits;
use anyhow::{Context as _, bail};
use client::environment::{self, SettingsFolder};
use client::private_file;
#[cfg(unix)]
use client::{private_file::Access, terminal};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};

/// Contents of `cli.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SettingsFile {
    pub(super) url: Option<String>,
    /// Set only with `--insecure-storage`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<String>,
}

/// The folder with the settings.
#[derive(Debug)]
pub(super) struct Folder(SettingsFolder);

impl Folder {
    pub(super) fn from_env() -> anyhow::Result<Self> {
        Ok(Self(environment::settings_folder()?))
    }

    /// Returns the path of the file.
    pub(super) fn file(&self) -> PathBuf {
        self.0.path.join("cli.json")
    }

    /// Reads the file; returns the default if it does not exist.
    pub(super) fn read(&self) -> anyhow::Result<SettingsFile> {
        let path = self.file();
        let Some(bytes) = read_if_present(&path).with_context(|| {
            format!("{} cannot be read and is left unchanged; fix or remove it", path.display())
        })?
        else {
            return Ok(SettingsFile::default());
        };
        restrict(&path, 0o600);
        serde_json::from_slice(&bytes).map_err(|error| {
            // The parser's message could quote the token.
            let line = error.line();
            anyhow::anyhow!("{} is invalid, line {line}; fix or remove it", path.display())
        })
    }

    /// Replaces the file atomically.
    pub(super) fn write(&self, file: &SettingsFile) -> anyhow::Result<()> {
        private_file::create_folder(&self.0.path)
            .with_context(|| format!("the folder {} cannot be created", self.0.path.display()))?;
        if self.0.is_default {
            restrict(&self.0.path, 0o700);
        }
        private_file::write(&self.file(), &serde_json::to_vec_pretty(file)?)
            .with_context(|| format!("{} cannot be written", self.file().display()))
    }
}

/// Returns the file's bytes, or `None` if nothing has its name.
fn read_if_present(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match private_file::read(path, limits::SETTINGS) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if std::fs::symlink_metadata(path).is_ok() {
                bail!("it is a link to a missing file");
            }
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Takes away other users' access, with a warning if that fails.
#[cfg(unix)]
fn restrict(path: &Path, mode: u32) {
    let shown = path.display();
    match private_file::restrict(path, mode) {
        Ok(Access::Private | Access::Restricted(_)) => {}
        Ok(Access::Foreign) => {
            terminal::note(format_args!("warning: {shown} belongs to another user"));
        }
        Err(error) => terminal::note(format_args!(
            "warning: other users' access to {shown} cannot be removed: {error}"
        )),
    }
}

#[cfg(not(unix))]
fn restrict(_path: &Path, _mode: u32) {}
