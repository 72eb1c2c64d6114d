//! `mcpd database …`: copies of the database, and whether it is whole; also beside a running server.

use super::out;
use anyhow::bail;
use clap::Subcommand;
use mcpd::config::Config;
use mcpd::store::sqlite;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum DatabaseCommand {
    /// Copy the database as it is now into a new file; a running server goes on
    ///
    /// A copy made with cp lacks what SQLite keeps beside the file. To put a backup back: stop mcpd,
    /// remove mcpd.db-wal and mcpd.db-shm, and copy the backup over mcpd.db.
    Backup {
        /// The copy; it must not exist yet
        file: PathBuf,
    },
    /// Look whether the database is whole
    Check {
        /// A backup; the server's database when absent
        file: Option<PathBuf>,
    },
}

pub(crate) async fn database(config: &Config, command: DatabaseCommand) -> anyhow::Result<()> {
    match command {
        DatabaseCommand::Backup { file } => {
            let bytes = sqlite::backup(&config.database(), &file).await?;
            out::line(format_args!("{} has the database ({bytes} bytes)", file.display()))?;
        }
        DatabaseCommand::Check { file } => {
            let file = file.unwrap_or_else(|| config.database());
            let found = sqlite::check(&file).await?;
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
