//! `mcpd database …`: backs up and checks the database, also beside a running server.

use super::out;
use anyhow::bail;
use clap::Subcommand;
use mcpd::config::Config;
use mcpd::store::{self, Location};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum DatabaseCommand {
    /// Copy the database as it is now into a new file, also while the server runs
    ///
    /// A copy made with cp lacks what SQLite stores beside the file. To restore a backup: stop
    /// mcpd, remove mcpd.db-wal and mcpd.db-shm, and copy the backup over mcpd.db.
    Backup {
        /// File to create
        file: PathBuf,
    },
    /// Check the integrity of the database
    Check {
        /// Backup to check [default: the server's database]
        file: Option<PathBuf>,
    },
}

pub(crate) async fn database(config: &Config, command: DatabaseCommand) -> anyhow::Result<()> {
    match command {
        DatabaseCommand::Backup { file } => {
            let bytes = store::backup(&config.database(), &file).await?;
            out::line(format_args!("{} has the database ({bytes} bytes)", file.display()))?;
        }
        DatabaseCommand::Check { file } => {
            let location = file.map_or_else(|| config.database(), Location::File);
            let Location::File(file) = &location;
            let found = store::check(&location).await?;
            if !found.problems.is_empty() {
                bail!(
                    "{} is damaged: {}. Stop mcpd and put a backup in its place",
                    file.display(),
                    found.problems.join("; ")
                );
            }
            out::line(format_args!(
                "{} is whole: {} tokens, {} models, migration {}",
                file.display(),
                found.tokens,
                found.llms,
                found.migration
            ))?;
        }
    }
    Ok(())
}
