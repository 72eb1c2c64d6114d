//! The database's file: how it is opened, what to do about one that cannot be, and copies of it.

use sqlx::migrate::MigrateError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Executor, Sqlite, SqliteConnection};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a writer waits for another process (`mcpd token …`).
const BUSY: Duration = Duration::from_secs(5);

/// A database that cannot be used, with what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", .file.display())]
pub struct OpenError {
    /// The database.
    pub file: PathBuf,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// There is none.
    Missing,
    /// It is a folder, a pipe or a device.
    NoFile,
    /// A newer mcpd has worked on it; the number is its migration's.
    Newer(i64),
    /// Its tables were made by another mcpd than this one knows.
    Altered(i64),
    /// It has no tables of mcpd.
    NoTables,
    /// It is damaged, or no database at all.
    Corrupt,
    /// Another process holds it.
    Busy,
    /// The disk is full.
    Full,
    /// It may not be read or written.
    Forbidden,
    /// The system says.
    Io(String),
    /// The database says.
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

/// Fails unless there is a file with something in it.
pub(super) fn must_exist(file: &Path) -> Result<(), OpenError> {
    let metadata = std::fs::metadata(file).map_err(|error| OpenError::io(file, &error))?;
    match (metadata.is_file(), metadata.len()) {
        (true, 1..) => Ok(()),
        (true, 0) => Err(OpenError::new(file, Fault::Missing)),
        (false, _) => Err(OpenError::new(file, Fault::NoFile)),
    }
}

/// Makes the file before SQLite does, so that nobody else may read it; true when it is new.
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

/// As a server opens it.
pub(super) fn options(file: &Path) -> SqliteConnectOptions {
    plain(file).journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Normal)
}

/// Without changing how its file is kept.
fn plain(file: &Path) -> SqliteConnectOptions {
    // Statements carry users' names: they stay out of the log.
    SqliteConnectOptions::new().filename(file).busy_timeout(BUSY).disable_statement_logging()
}

/// Fails unless the database has mcpd's tables.
pub(super) async fn must_have_tables<'e, E>(file: &Path, database: E) -> Result<(), OpenError>
where
    E: Executor<'e, Database = Sqlite>,
{
    let found = sqlx::query("SELECT 1 FROM sqlite_schema WHERE name = '_sqlx_migrations'");
    let found = found.fetch_optional(database).await.map_err(|e| OpenError::of(file, &e))?;
    found.map(drop).ok_or_else(|| OpenError::new(file, Fault::NoTables))
}

/// A connection for a look at a database as it is: nothing is migrated.
async fn look_at(file: &Path) -> Result<SqliteConnection, OpenError> {
    must_exist(file)?;
    let mut connection = plain(file).connect().await.map_err(|e| OpenError::of(file, &e))?;
    must_have_tables(file, &mut connection).await?;
    Ok(connection)
}

/// Writes a copy of the database, as it is at this moment, into a new private file (0600), also
/// while a server works on it; how many bytes the copy has.
///
/// # Errors
/// [`OpenError`] about the database or about the copy, which must not exist yet.
pub async fn backup(file: &Path, copy: &Path) -> Result<u64, OpenError> {
    let mut connection = look_at(file).await?;
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
        // The name must survive a crash too.
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    let _ = connection.close().await;
    copied
}

/// An empty private file (0600): SQLite fills it, and its mode is set before there is anything in it.
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

/// What a look at a database found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The number of the latest migration.
    pub migration: i64,
    /// Tokens, dead ones too.
    pub tokens: i64,
    /// Rows of the catalogue.
    pub llms: i64,
    /// What SQLite finds wrong; nothing, if all is well.
    pub problems: Vec<String>,
}

/// Looks whether the database is whole, also while a server works on it.
///
/// # Errors
/// [`OpenError`].
pub async fn check(file: &Path) -> Result<Checked, OpenError> {
    let mut connection = look_at(file).await?;
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
