//! The folder `~/.mcpctl` and what lies in it.

use client::private_file;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use client::private_file::write as write_private;

/// Environment variable that names another folder.
const HOME: &str = "MCPCTL_HOME";

/// The folder. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    dir: PathBuf,
}

impl Home {
    /// `$MCPCTL_HOME`, else `~/.mcpctl`. Made (0700) when it is missing.
    ///
    /// # Errors
    /// There is no home directory, or the folder cannot be made.
    pub fn from_env() -> io::Result<Self> {
        if let Some(dir) = std::env::var_os(HOME) {
            return Self::at(dir);
        }
        let user = std::env::home_dir().filter(|dir| !dir.as_os_str().is_empty());
        let user = user.ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("no home directory; set {HOME}"))
        })?;
        Self::at(user.join(".mcpctl"))
    }

    /// This folder. Made (0700) when it is missing.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn at(dir: impl Into<PathBuf>) -> io::Result<Self> {
        let dir = std::path::absolute(dir.into())?;
        private_file::create_folder(&dir)?;
        Ok(Self { dir })
    }

    /// Closes the folder to other users, who could otherwise lock, read or replace what lies in it.
    /// One that belongs to another user stays as it is, with a warning.
    pub fn tighten(&self) {
        #[cfg(unix)]
        {
            use client::private_file::Access;
            let dir = self.dir.display();
            match private_file::restrict(&self.dir, 0o700) {
                Ok(Access::Private) => {}
                Ok(Access::Restricted(mode)) => tracing::warn!(
                    "{dir} was open to other users of this machine (mode {mode:04o}); it is private \
                     now (0700)"
                ),
                Ok(Access::Foreign) => tracing::warn!(
                    "{dir} belongs to another user, who can read and change what is published from it"
                ),
                Err(error) => tracing::warn!(%error, "{dir} cannot be closed to other users"),
            }
        }
    }

    /// The folder itself.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The configuration, shared with other tools.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.dir.join("config.json")
    }

    /// Held by the program that edits the configuration.
    #[must_use]
    pub(crate) fn config_lock(&self) -> PathBuf {
        self.dir.join("config.json.lock")
    }

    /// The seed system's credentials; ours only where there is no keychain.
    #[must_use]
    pub fn credentials(&self) -> PathBuf {
        self.dir.join("credentials")
    }

    /// The provider session's id.
    #[must_use]
    pub fn session(&self) -> PathBuf {
        self.dir.join("provider-session")
    }

    /// This machine's random id.
    #[must_use]
    pub fn instance(&self) -> PathBuf {
        self.dir.join("instance-id")
    }

    /// The live status, for whoever is not in this process.
    #[must_use]
    pub fn status(&self) -> PathBuf {
        self.dir.join("status.json")
    }

    /// What is asked of the process that publishes.
    #[must_use]
    pub fn requests(&self) -> PathBuf {
        self.dir.join("requests")
    }

    /// Recipes that are at work.
    #[must_use]
    pub(crate) fn wakes(&self) -> PathBuf {
        self.dir.join("wakes.json")
    }

    /// The tray app's log files.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    /// Held by the one registrar of this folder.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.dir.join("registrar.lock")
    }
}
