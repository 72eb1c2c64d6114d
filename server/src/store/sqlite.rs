//! The store on SQLite: one file, WAL mode, migrations at start.

mod file;
mod tokens;

use super::{Change, Revoked, Store, StoreError, StoredToken, TokenQuery};
use async_trait::async_trait;
use relay::{InvalidId, Owner, OwnerId, Saved, SavedLlm, SavedName, SavedSession};
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions, SqliteRow};
use sqlx::{Row, Sqlite, Transaction};
use std::path::Path;
use std::str::FromStr;
use wire::token::TokenInfo;

pub use file::{Checked, Fault, OpenError};
pub(super) use file::{backup, check};

/// Connections to the file; SQLite lets one of them write at a time.
const CONNECTIONS: u32 = 4;

/// The store on SQLite.
#[derive(Debug, Clone)]
pub(super) struct SqliteStore {
    pool: SqlitePool,
}

impl SqliteStore {
    /// Opens the file, creates it (mode 0600) if it is missing, and brings its tables up to date.
    ///
    /// # Errors
    /// [`OpenError`], also for a file that a newer program has changed.
    pub(super) async fn open(file: &Path) -> Result<Self, OpenError> {
        let new = file::make_private(file)?;
        let store = Self::connect(file, new).await?;
        if new {
            tracing::info!(file = %file.display(), "created a new database");
        }
        Ok(store)
    }

    /// As [`Self::open`], but does not create a missing file.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub(super) async fn open_existing(file: &Path) -> Result<Self, OpenError> {
        file::must_exist(file)?;
        Self::connect(file, false).await
    }

    async fn connect(file: &Path, new: bool) -> Result<Self, OpenError> {
        let failed = |error: sqlx::Error| OpenError::of(file, &error);
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS);
        let pool = pool.connect_with(file::options(file)).await.map_err(failed)?;
        if !new {
            file::must_have_tables(file, &pool).await?;
        }
        let migrations = sqlx::migrate!("./migrations/sqlite").run(&pool).await;
        migrations.map_err(|e| failed(sqlx::Error::Migrate(Box::new(e))))?;
        Ok(Self { pool })
    }
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
                    let query = sqlx::query("DELETE FROM llms WHERE id = ?").bind(id.to_string());
                    query.execute(&mut *tx).await?;
                }
                Change::Session(_, Some(session)) => put_session(&mut tx, session).await?,
                Change::Session(id, None) => {
                    let query =
                        sqlx::query("DELETE FROM sessions WHERE id = ?").bind(id.to_string());
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
        Ok(tokens::add(&self.pool, token).await?)
    }

    async fn token(&self, hash: &[u8; 32]) -> Result<Option<TokenInfo>, StoreError> {
        Ok(tokens::with_hash(&self.pool, hash).await?)
    }

    async fn token_with_id(&self, id: &str) -> Result<Option<TokenInfo>, StoreError> {
        Ok(tokens::with_id(&self.pool, id).await?)
    }

    async fn tokens(&self, which: &TokenQuery<'_>) -> Result<Vec<TokenInfo>, StoreError> {
        Ok(tokens::list(&self.pool, which).await?)
    }

    async fn has_token(&self, user: &str, scope: &str, now: u64) -> Result<bool, StoreError> {
        Ok(tokens::has(&self.pool, user, scope, now).await?)
    }

    async fn revoke_token(&self, id: &str, now: u64) -> Result<bool, StoreError> {
        Ok(tokens::revoke(&self.pool, id, now).await?)
    }

    async fn revoke_user(&self, user: &str, now: u64) -> Result<u64, StoreError> {
        Ok(tokens::revoke_user(&self.pool, user, now).await?)
    }

    async fn last_revocation(&self) -> Result<u64, StoreError> {
        Ok(tokens::last_revocation(&self.pool).await?)
    }

    async fn revoked_since(&self, number: u64) -> Result<Revoked, StoreError> {
        Ok(tokens::revoked_since(&self.pool, number).await?)
    }

    async fn touch_tokens(&self, used: &[(String, u64)]) -> Result<(), StoreError> {
        Ok(tokens::touch(&self.pool, used).await?)
    }

    async fn delete_dead(&self, by: u64, most: u32, number: u64) -> Result<u64, StoreError> {
        Ok(tokens::delete_dead(&self.pool, by, most, number).await?)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }
}

type Tx<'a> = Transaction<'a, Sqlite>;

async fn put_llm(tx: &mut Tx<'_>, llm: &SavedLlm) -> Result<(), sqlx::Error> {
    // An entry of the same owner and name but another id is a conflict, and must not be replaced.
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
    .bind(llm.id.to_string())
    .bind(llm.session.to_string())
    .bind(&*llm.owner.id.0)
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
        "INSERT INTO names \
         (name, owner, shared_by_owner, shared_by_admin, served, reserved_until) \
         VALUES (?, ?, ?, ?, ?, ?) \
         ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, \
         shared_by_owner = excluded.shared_by_owner, \
         shared_by_admin = excluded.shared_by_admin, served = excluded.served, \
         reserved_until = excluded.reserved_until",
    )
    .bind(&name.name)
    .bind(&*name.owner.0)
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
        "INSERT INTO sessions \
         (id, owner, owner_label, owner_groups, instance, epoch, last_seen) \
         VALUES (?, ?, ?, ?, ?, ?, ?) \
         ON CONFLICT (id) DO UPDATE SET owner = excluded.owner, \
         owner_label = excluded.owner_label, owner_groups = excluded.owner_groups, \
         instance = excluded.instance, epoch = excluded.epoch, last_seen = excluded.last_seen",
    )
    .bind(session.id.to_string())
    .bind(&*session.owner.id.0)
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
        id: id_of(row, "id")?,
        owner: owner_of(row)?,
        instance: instance.map(|text| from_json(&text)).transpose()?,
        epoch: unsigned(row, "epoch")?,
        last_seen: unsigned(row, "last_seen")?,
    })
}

fn llm_of(row: &SqliteRow) -> Result<SavedLlm, sqlx::Error> {
    let wake_ms: Option<i64> = row.try_get("wake_ms")?;
    Ok(SavedLlm {
        id: id_of(row, "id")?,
        owner: owner_of(row)?,
        session: id_of(row, "session")?,
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
        owner: OwnerId(row.try_get::<&str, _>("owner")?.into()),
        shared_by_owner: from_json(row.try_get("shared_by_owner")?)?,
        shared_by_admin: from_json(row.try_get("shared_by_admin")?)?,
        served: row.try_get("served")?,
        reserved_until: until.and_then(|at| at.try_into().ok()),
    })
}

fn owner_of(row: &SqliteRow) -> Result<Owner, sqlx::Error> {
    let id = OwnerId(row.try_get::<&str, _>("owner")?.into());
    let label = row.try_get("owner_label")?;
    let groups: String = row.try_get("owner_groups")?;
    let groups = groups.split_whitespace().map(str::to_owned).collect();
    Ok(Owner { id, label, groups })
}

fn id_of<T: FromStr<Err = InvalidId>>(row: &SqliteRow, column: &str) -> Result<T, sqlx::Error> {
    let text: &str = row.try_get(column)?;
    text.parse().map_err(|e| sqlx::Error::Decode(Box::new(e)))
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
    use super::{Fault, OpenError, SqliteStore, backup, check};
    use crate::store::{Store as _, TokenQuery};
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use wire::token::CreateToken;

    fn mode(file: &Path) -> u32 {
        std::fs::metadata(file).unwrap().permissions().mode() & 0o777
    }

    async fn with_a_token(file: &Path) -> SqliteStore {
        let store = SqliteStore::open(file).await.unwrap();
        let scopes = vec!["admin".into()];
        let request = CreateToken { user: "mia".into(), scopes, ..CreateToken::default() };
        crate::auth::create(&store, &request, 1).await.unwrap();
        store
    }

    fn fault<T>(opened: Result<T, OpenError>) -> Fault {
        opened.err().unwrap().fault
    }

    #[tokio::test]
    async fn sqlite_passes_the_contract_and_its_file_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mcpd.db");
        let store = SqliteStore::open(&file).await.unwrap();
        crate::store::contract::check(&store).await.unwrap();
        assert_eq!(mode(&file), 0o600);
        drop(store);
        SqliteStore::open(&file).await.unwrap();
    }

    #[tokio::test]
    async fn a_backup_of_a_database_in_use_is_complete_where_a_plain_copy_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let [file, plain, copy] = ["mcpd.db", "plain.db", "copy.db"].map(|n| dir.path().join(n));
        let _running = with_a_token(&file).await;
        std::fs::copy(&file, &plain).unwrap();
        assert_eq!(fault(SqliteStore::open(&plain).await), Fault::NoTables);
        assert_eq!(fault(check(&plain).await), Fault::NoTables);

        backup(&file, &copy).await.unwrap();
        assert_eq!(mode(&copy), 0o600);
        let checked = check(&copy).await.unwrap();
        assert_eq!((checked.tokens, checked.problems.len()), (1, 0));
        let found = SqliteStore::open_existing(&copy).await.unwrap();
        let found = found.tokens(&TokenQuery { most: 9, ..TokenQuery::default() }).await.unwrap();
        assert_eq!(found[0].user, "mia");

        let before = std::fs::read(&copy).unwrap();
        let refused = backup(&file, &copy).await.unwrap_err().to_string();
        assert!(refused.contains("exists already") && refused.contains("copy.db"), "{refused}");
        assert_eq!(std::fs::read(&copy).unwrap(), before);
        let nowhere = dir.path().join("no/copy.db");
        assert!(backup(&file, &nowhere).await.unwrap_err().to_string().contains("folder"));
        let nothing = dir.path().join("nothing.db");
        assert_eq!(fault(backup(&nothing, &dir.path().join("x.db")).await), Fault::Missing);
        assert!(!nothing.exists() && !dir.path().join("x.db").exists());
    }

    #[tokio::test]
    async fn an_unusable_database_is_left_as_it_is_and_the_error_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mcpd.db");
        assert_eq!(fault(SqliteStore::open_existing(&file).await), Fault::Missing);
        assert!(!file.exists(), "none is created");
        assert_eq!(fault(SqliteStore::open(dir.path()).await), Fault::NoFile);

        let store = with_a_token(&file).await;
        let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, \
                     execution_time) VALUES (9999, 'later', 1, x'00', 0)";
        sqlx::query(newer).execute(&store.pool).await.unwrap();
        drop(store);
        let said = SqliteStore::open(&file).await.unwrap_err();
        assert_eq!(said.fault, Fault::Newer(9999));
        assert!(said.to_string().contains("newer mcpd"), "{said}");
        assert_eq!(check(&file).await.unwrap().migration, 9999, "a check needs no current tables");

        let broken = dir.path().join("broken.db");
        std::fs::write(&broken, "this is no database at all, whatever its name says".repeat(99))
            .unwrap();
        let said = SqliteStore::open(&broken).await.unwrap_err();
        assert_eq!(said.fault, Fault::Corrupt);
        assert!(said.to_string().contains("broken.db") && said.to_string().contains("backup"));
    }
}
