//! The store on SQLite: one file, WAL mode, migrations at start.

use super::{Change, Store, StoreError, StoredToken};
use async_trait::async_trait;
use relay::{LlmId, Owner, OwnerId, Saved, SavedLlm, SavedName, SavedSession, SessionId};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Row, Sqlite, Transaction};
use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;
use wire::token::TokenInfo;

/// Connections to the one file; SQLite lets one of them write.
const CONNECTIONS: u32 = 4;
/// How long a writer waits for another process (`mcpd token …`).
const BUSY: Duration = Duration::from_secs(5);

/// The store on SQLite.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    pool: SqlitePool,
}

impl SqliteStore {
    /// Opens the file, makes it (0600) when it is missing, and brings its tables up to date.
    ///
    /// # Errors
    /// The database's own, also for a file that is newer than this program.
    pub async fn open(file: &Path) -> Result<Self, StoreError> {
        private_file(file).map_err(sqlx::Error::Io)?;
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(BUSY)
            // Statements carry users' names: they stay out of the log.
            .disable_statement_logging();
        let pool =
            SqlitePoolOptions::new().max_connections(CONNECTIONS).connect_with(options).await?;
        let migrations = sqlx::migrate!("./migrations/sqlite").run(&pool).await;
        migrations.map_err(|e| sqlx::Error::Migrate(Box::new(e)))?;
        Ok(Self { pool })
    }
}

/// Makes the file before SQLite does, so that nobody else may read it.
fn private_file(file: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file).map(drop)
}

#[async_trait]
impl Store for SqliteStore {
    async fn load(&self) -> Result<Saved, StoreError> {
        let sessions = sqlx::query("SELECT * FROM sessions").fetch_all(&self.pool).await?;
        let llms = sqlx::query("SELECT * FROM llms").fetch_all(&self.pool).await?;
        let names = sqlx::query("SELECT * FROM names").fetch_all(&self.pool).await?;
        Ok(Saved {
            sessions: sessions.iter().map(session_of).collect::<Result<_, _>>()?,
            llms: llms.iter().map(llm_of).collect::<Result<_, _>>()?,
            names: names.iter().map(name_of).collect::<Result<_, _>>()?,
        })
    }

    async fn apply(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        for change in changes {
            match change {
                Change::Llm(_, Some(llm)) => put_llm(&mut tx, llm).await?,
                Change::Llm(id, None) => {
                    let query = sqlx::query("DELETE FROM llms WHERE id = ?").bind(&id.0);
                    query.execute(&mut *tx).await?;
                }
                Change::Session(_, Some(session)) => put_session(&mut tx, session).await?,
                Change::Session(id, None) => {
                    let query = sqlx::query("DELETE FROM sessions WHERE id = ?").bind(&id.0);
                    query.execute(&mut *tx).await?;
                }
                Change::Name(_, Some(name)) => put_name(&mut tx, name).await?,
                Change::Name(name, None) => {
                    let query = sqlx::query("DELETE FROM names WHERE name = ?").bind(name);
                    query.execute(&mut *tx).await?;
                }
            }
        }
        Ok(tx.commit().await?)
    }

    async fn add_token(&self, token: &StoredToken) -> Result<(), StoreError> {
        let info = &token.info;
        sqlx::query("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL)")
            .bind(&info.id)
            .bind(&token.hash[..])
            .bind(&info.user)
            .bind(&info.label)
            .bind(info.scopes.join(" "))
            .bind(signed(info.created))
            .bind(info.expires.map(signed))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn token(&self, hash: &[u8; 32]) -> Result<Option<TokenInfo>, StoreError> {
        let query = sqlx::query("SELECT * FROM tokens WHERE hash = ?").bind(&hash[..]);
        let row = query.fetch_optional(&self.pool).await?;
        Ok(row.as_ref().map(token_of).transpose()?)
    }

    async fn tokens(&self) -> Result<Vec<TokenInfo>, StoreError> {
        let query = sqlx::query("SELECT * FROM tokens ORDER BY created DESC, id DESC");
        let rows = query.fetch_all(&self.pool).await?;
        Ok(rows.iter().map(token_of).collect::<Result<_, _>>()?)
    }

    async fn revoke_token(&self, id: &str, now: u64) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE tokens SET revoked = coalesce(revoked, ?) WHERE id = ?")
            .bind(signed(now))
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    async fn touch_tokens(&self, used: &[(String, u64)]) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        for (id, when) in used {
            sqlx::query("UPDATE tokens SET last_used = ? WHERE id = ?")
                .bind(signed(*when))
                .bind(id)
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    async fn dead_tokens(&self, now: u64) -> Result<HashSet<String>, StoreError> {
        let rows = sqlx::query("SELECT id FROM tokens WHERE revoked IS NOT NULL OR expires <= ?")
            .bind(signed(now))
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }
}

type Tx<'a> = Transaction<'a, Sqlite>;

async fn put_llm(tx: &mut Tx<'_>, llm: &SavedLlm) -> Result<(), sqlx::Error> {
    // Not `INSERT OR REPLACE`: that would delete another row of the same owner and name.
    sqlx::query(
        "INSERT INTO llms \
         (id, session, owner, owner_label, owner_groups, provider, created, last_seen, \
         wake_ms, name) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (id) DO UPDATE SET session = excluded.session, owner = excluded.owner, \
         owner_label = excluded.owner_label, owner_groups = excluded.owner_groups, \
         provider = excluded.provider, \
         created = excluded.created, last_seen = excluded.last_seen, \
         wake_ms = excluded.wake_ms, name = excluded.name",
    )
    .bind(&llm.id.0)
    .bind(&llm.session.0)
    .bind(&llm.owner.id.0)
    .bind(&llm.owner.label)
    .bind(llm.owner.groups.join(" "))
    .bind(to_json(&llm.provider)?)
    .bind(signed(llm.created))
    .bind(signed(llm.last_seen))
    .bind(llm.wake_ms.map(signed))
    .bind(llm.provider.name.to_ascii_lowercase())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn put_name(tx: &mut Tx<'_>, name: &SavedName) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT OR REPLACE INTO names \
         (name, owner, shared_by_owner, shared_by_admin, served, reserved_until) \
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(&name.name)
    .bind(&name.owner.0)
    .bind(to_json(&name.shared_by_owner)?)
    .bind(to_json(&name.shared_by_admin)?)
    .bind(name.served)
    .bind(name.reserved_until.map(signed))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn put_session(tx: &mut Tx<'_>, session: &SavedSession) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT OR REPLACE INTO sessions \
         (id, owner, owner_label, owner_groups, instance, epoch, last_seen) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&session.id.0)
    .bind(&session.owner.id.0)
    .bind(&session.owner.label)
    .bind(session.owner.groups.join(" "))
    .bind(session.instance.as_ref().map(to_json).transpose()?)
    .bind(signed(session.epoch))
    .bind(signed(session.last_seen))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn session_of(row: &SqliteRow) -> Result<SavedSession, sqlx::Error> {
    let instance: Option<String> = row.try_get("instance")?;
    Ok(SavedSession {
        id: SessionId(row.try_get("id")?),
        owner: owner_of(row)?,
        instance: instance.map(|text| from_json(&text)).transpose()?,
        epoch: unsigned(row, "epoch")?,
        last_seen: unsigned(row, "last_seen")?,
    })
}

fn llm_of(row: &SqliteRow) -> Result<SavedLlm, sqlx::Error> {
    let wake_ms: Option<i64> = row.try_get("wake_ms")?;
    Ok(SavedLlm {
        id: LlmId(row.try_get("id")?),
        owner: owner_of(row)?,
        session: SessionId(row.try_get("session")?),
        provider: from_json(row.try_get("provider")?)?,
        created: unsigned(row, "created")?,
        last_seen: unsigned(row, "last_seen")?,
        wake_ms: wake_ms.and_then(|ms| ms.try_into().ok()),
    })
}

fn name_of(row: &SqliteRow) -> Result<SavedName, sqlx::Error> {
    let until: Option<i64> = row.try_get("reserved_until")?;
    Ok(SavedName {
        name: row.try_get("name")?,
        owner: OwnerId(row.try_get("owner")?),
        shared_by_owner: from_json(row.try_get("shared_by_owner")?)?,
        shared_by_admin: from_json(row.try_get("shared_by_admin")?)?,
        served: row.try_get("served")?,
        reserved_until: until.and_then(|at| at.try_into().ok()),
    })
}

fn token_of(row: &SqliteRow) -> Result<TokenInfo, sqlx::Error> {
    let time = |column: &str| -> Result<Option<u64>, sqlx::Error> {
        let value: Option<i64> = row.try_get(column)?;
        Ok(value.and_then(|v| v.try_into().ok()))
    };
    let scopes: String = row.try_get("scopes")?;
    Ok(TokenInfo {
        id: row.try_get("id")?,
        user: row.try_get("user")?,
        label: row.try_get("label")?,
        scopes: scopes.split_whitespace().map(str::to_owned).collect(),
        groups: Vec::new(),
        created: unsigned(row, "created")?,
        expires: time("expires")?,
        last_used: time("last_used")?,
        revoked: time("revoked")?,
    })
}

fn owner_of(row: &SqliteRow) -> Result<Owner, sqlx::Error> {
    let (id, label) = (OwnerId(row.try_get("owner")?), row.try_get("owner_label")?);
    let groups: String = row.try_get("owner_groups")?;
    let groups = groups.split_whitespace().map(str::to_owned).collect();
    Ok(Owner { id, label, groups })
}

fn unsigned(row: &SqliteRow, column: &str) -> Result<u64, sqlx::Error> {
    let value: i64 = row.try_get(column)?;
    u64::try_from(value).map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn to_json<T: serde::Serialize>(value: &T) -> Result<String, sqlx::Error> {
    serde_json::to_string(value).map_err(|e| sqlx::Error::Encode(Box::new(e)))
}

fn from_json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(text).map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

#[cfg(test)]
mod tests {
    use super::SqliteStore;

    #[tokio::test]
    async fn sqlite_keeps_the_store_contract_and_its_file_is_the_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mcpd.db");
        let store = SqliteStore::open(&file).await.unwrap();
        crate::store::contract::check(&store).await.unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        drop(store);
        SqliteStore::open(&file).await.unwrap();
    }
}
