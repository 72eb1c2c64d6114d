//! The database file: opening it, errors that say what to do, backups and integrity checks.

use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Executor, Sqlite, SqliteConnection};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A writer waits this long for another process, such as `mcpd token …`.
const BUSY: Duration = Duration::from_secs(5);

/// A database that cannot be used; the message says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", .file.display())]
pub struct OpenError {
    /// The database.
    pub file: PathBuf,
    /// The reason.
    pub fault: Fault,
}

/// Reason why a database cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It does not exist.
    Missing,
    /// It is a folder, a pipe or a device.
    NoFile,
    /// A newer mcpd has changed it, up to this migration.
    Newer(i64),
    /// Its tables differ from those of this migration.
    Altered(i64),
    /// It has none of mcpd's tables.
    NoTables,
    /// It is damaged, or not a database.
    Corrupt,
    /// Another process holds it.
    Busy,
    /// The disk is full.
    Full,
    /// It may not be read or written.
    Forbidden,
    /// Another error of the system.
    Io(String),
    /// Another error of the database.
    Other(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str(
                "there is no database of mcpd here. Give the folder that the server has \
                 (--data-dir, MCPD_DATA_DIR or --config)",
            ),
            Self::NoFile => f.write_str("this is no file; give another folder with --data-dir"),
            Self::Newer(number) => write!(
                f,
                "a newer mcpd has worked on this database (migration {number}). Run that version \
                 or a later one, or put a backup from before back"
            ),
            Self::Altered(number) => write!(
                f,
                "the tables of this database are not those that this mcpd knows (migration \
                 {number}). Run the mcpd that made it, or put a backup back"
            ),
            Self::NoTables => f.write_str(
                "this file has no tables of mcpd. A copy made with cp while a server ran lacks \
                 what is in mcpd.db-wal: use `mcpd database backup` for copies. To begin with a \
                 new database, move the file away",
            ),
            Self::Corrupt => f.write_str(
                "this file is damaged, or no database. Stop mcpd, move it and its -wal and -shm \
                 away, and put a backup in its place",
            ),
            Self::Busy => f.write_str(
                "another process holds the database; end it (a backup, a check, an SQLite shell), \
                 or try again",
            ),
            Self::Full => f.write_str("the disk is full; make room and try again"),
            Self::Forbidden => f.write_str(
                "it may not be read or written; run as the user whose server it is, or give its \
                 folder to this user",
            ),
            Self::Io(why) | Self::Other(why) => f.write_str(why),
        }
    }
}

impl OpenError {
    pub(super) fn new(file: &Path, fault: Fault) -> Self {
        Self { file: file.to_owned(), fault }
    }

    pub(super) fn io(file: &Path, error: &io::Error) -> Self {
        use io::ErrorKind::{NotFound, PermissionDenied, ReadOnlyFilesystem, StorageFull};
        let known = [
            (NotFound, Fault::Missing),
            (PermissionDenied, Fault::Forbidden),
            (ReadOnlyFilesystem, Fault::Forbidden),
            (StorageFull, Fault::Full),
        ];
        let known = known.into_iter().find(|(kind, _)| *kind == error.kind());
        Self::new(file, known.map_or_else(|| Fault::Io(error.to_string()), |(_, fault)| fault))
    }

    pub(super) fn of(file: &Path, error: &sqlx::Error) -> Self {
        Self::new(file, fault_of(error))
    }
}

fn fault_of(error: &sqlx::Error) -> Fault {
    if let sqlx::Error::Migrate(migrate) = error {
        if let MigrateError::VersionMissing(number) = &**migrate {
            return Fault::Newer(*number);
        }
        if let MigrateError::VersionMismatch(number) = &**migrate {
            return Fault::Altered(*number);
        }
        if let MigrateError::Execute(inner) | MigrateError::ExecuteMigration(inner, _) = &**migrate
        {
            return fault_of(inner);
        }
        return Fault::Other(migrate.to_string());
    }
    let code = error.as_database_error().and_then(|error| error.code());
    let code = code.and_then(|code| code.parse::<u32>().ok());
    // The low byte of SQLite's codes is the kind of error.
    match code.map(|code| code & 0xff) {
        Some(5 | 6) => Fault::Busy,
        Some(8 | 14 | 23) => Fault::Forbidden,
        Some(11 | 26) => Fault::Corrupt,
        Some(13) => Fault::Full,
        Some(_) | None => Fault::Other(error.to_string()),
    }
}

/// Checks that the file exists and is not empty.
pub(super) fn must_exist(file: &Path) -> Result<(), OpenError> {
    let metadata = std::fs::metadata(file).map_err(|error| OpenError::io(file, &error))?;
    match (metadata.is_file(), metadata.len()) {
        (true, 1..) => Ok(()),
        (true, 0) => Err(OpenError::new(file, Fault::Missing)),
        (false, _) => Err(OpenError::new(file, Fault::NoFile)),
    }
}

/// Creates the file with mode 0600 before SQLite would create it readable for others. Returns true
/// if it is new.
pub(super) fn make_private(file: &Path) -> Result<bool, OpenError> {
    if std::fs::metadata(file).is_ok_and(|metadata| metadata.len() > 0) {
        return must_exist(file).map(|()| false);
    }
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file).map_err(|error| OpenError::io(file, &error))?;
    Ok(true)
}

/// Options of a server's connection.
pub(super) fn options(file: &Path) -> SqliteConnectOptions {
    plain(file).journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Normal)
}

/// Options that leave the file's journal mode as it is.
fn plain(file: &Path) -> SqliteConnectOptions {
    // Statements contain users' names, which stay out of the log.
    SqliteConnectOptions::new().filename(file).busy_timeout(BUSY).disable_statement_logging()
}

/// Checks that the database has mcpd's tables.
pub(super) async fn must_have_tables<'e, E>(file: &Path, database: E) -> Result<(), OpenError>
where
    E: Executor<'e, Database = Sqlite>,
{
    let found = sqlx::query("SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations'");
    let found = found.fetch_optional(database).await.map_err(|e| OpenError::of(file, &e))?;
    found.map(drop).ok_or_else(|| OpenError::new(file, Fault::NoTables))
}

/// Connects to a database without migrating it.
async fn connect_as_is(file: &Path) -> Result<SqliteConnection, OpenError> {
    must_exist(file)?;
    let mut connection = plain(file).connect().await.map_err(|e| OpenError::of(file, &e))?;
    must_have_tables(file, &mut connection).await?;
    Ok(connection)
}

/// See [`crate::store::backup`].
pub(in crate::store) async fn backup(file: &Path, copy: &Path) -> Result<u64, OpenError> {
    let mut connection = connect_as_is(file).await?;
    let copy = std::path::absolute(copy).map_err(|error| OpenError::io(copy, &error))?;
    let name = copy.to_str().ok_or_else(|| {
        OpenError::new(&copy, Fault::Io("the name of the copy must be UTF-8".into()))
    })?;
    let made = new_file(&copy)?;
    let copied = async {
        let query = sqlx::query("VACUUM INTO ?").bind(name);
        query.execute(&mut connection).await.map_err(|e| OpenError::of(file, &e))?;
        let written = made.sync_all().and_then(|()| made.metadata());
        written.map(|metadata| metadata.len()).map_err(|error| OpenError::io(&copy, &error))
    };
    let copied = copied.await;
    if copied.is_err() {
        let _ = std::fs::remove_file(&copy);
    } else if let Some(folder) = copy.parent() {
        // The new name must survive a crash too.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    let _ = connection.close().await;
    copied
}

/// Creates an empty file with mode 0600, which SQLite then fills.
fn new_file(path: &Path) -> Result<File, OpenError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map_err(|error| {
        let known = [
            (
                io::ErrorKind::AlreadyExists,
                "this file exists already and is kept; give another name",
            ),
            (io::ErrorKind::NotFound, "its folder does not exist; make it first"),
        ];
        let known = known.into_iter().find(|(kind, _)| *kind == error.kind());
        known.map_or_else(
            || OpenError::io(path, &error),
            |(_, why)| OpenError::new(path, Fault::Io(why.into())),
        )
    })
}

/// Result of an integrity check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Number of the latest migration.
    pub migration: i64,
    /// Number of tokens, dead ones included.
    pub tokens: i64,
    /// Number of catalogue entries.
    pub llms: i64,
    /// Problems that SQLite reports; empty if the database is whole.
    pub problems: Vec<String>,
}

/// See [`crate::store::check`].
pub(in crate::store) async fn check(file: &Path) -> Result<Checked, OpenError> {
    let mut connection = connect_as_is(file).await?;
    let found = async {
        let problems = sqlx::query_scalar::<_, String>("PRAGMA integrity_check");
        let problems = problems.fetch_all(&mut connection).await?;
        let number = "SELECT max(version) FROM _sqlx_migrations WHERE success";
        Ok(Checked {
            problems: problems.into_iter().filter(|problem| problem != "ok").collect(),
            migration: sqlx::query_scalar(number).fetch_one(&mut connection).await?,
            tokens: sqlx::query_scalar("SELECT count(*) FROM tokens")
                .fetch_one(&mut connection)
                .await?,
            llms: sqlx::query_scalar("SELECT count(*) FROM llms")
                .fetch_one(&mut connection)
                .await?,
        })
    };
    let found = found.await.map_err(|e| OpenError::of(file, &e));
    let _ = connection.close().await;
    found
}
