//! The folder `~/.mcpctl` and what lies in it.

use std::io;
use std::path::{Path, PathBuf};

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
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&dir)?;
        Ok(Self { dir })
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

/// Writes a private file (0600) in one step: whoever reads sees the old or the new one.
///
/// # Errors
/// The file system's.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let dir = path.parent().unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}
