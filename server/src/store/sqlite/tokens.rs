//! The tables of tokens and revocations.

use super::{signed, unsigned};
use crate::store::{Revoked, StoredToken, TokenQuery};
use sqlx::sqlite::{SqlitePool, SqliteRow};
use sqlx::{Error, Row};
use wire::token::TokenInfo;

pub(super) async fn add(pool: &SqlitePool, token: &StoredToken) -> Result<(), Error> {
    let info = &token.info;
    let statement = "INSERT INTO tokens \
                     (id, hash, user, label, scopes, user_groups, created, expires) \
                     VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    sqlx::query(statement)
        .bind(&info.id)
        .bind(&token.hash[..])
        .bind(&info.user)
        .bind(&info.label)
        .bind(info.scopes.join(" "))
        .bind(info.groups.join(" "))
        .bind(signed(info.created))
        .bind(info.expires.map(signed))
        .execute(pool)
        .await?;
    Ok(())
}

pub(super) async fn with_hash(
    pool: &SqlitePool,
    hash: &[u8; 32],
) -> Result<Option<TokenInfo>, Error> {
    let query = sqlx::query("SELECT * FROM tokens WHERE hash = ?").bind(&hash[..]);
    query.fetch_optional(pool).await?.as_ref().map(token_of).transpose()
}

pub(super) async fn with_id(pool: &SqlitePool, id: &str) -> Result<Option<TokenInfo>, Error> {
    let query = sqlx::query("SELECT * FROM tokens WHERE id = ?").bind(id);
    query.fetch_optional(pool).await?.as_ref().map(token_of).transpose()
}

/// Ids begin with the time of creation, so their order is that of age.
pub(super) async fn list(
    pool: &SqlitePool,
    which: &TokenQuery<'_>,
) -> Result<Vec<TokenInfo>, Error> {
    // Separate statements, so that an index serves each.
    let statement = match (which.user, which.after) {
        (None, None) => "SELECT * FROM tokens ORDER BY id DESC LIMIT ?3",
        (None, Some(_)) => "SELECT * FROM tokens WHERE id < ?2 ORDER BY id DESC LIMIT ?3",
        (Some(_), None) => "SELECT * FROM tokens WHERE user = ?1 ORDER BY id DESC LIMIT ?3",
        (Some(_), Some(_)) => {
            "SELECT * FROM tokens WHERE user = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3"
        }
    };
    let query = sqlx::query(statement).bind(which.user).bind(which.after).bind(which.most);
    query.fetch_all(pool).await?.iter().map(token_of).collect()
}

pub(super) async fn has(
    pool: &SqlitePool,
    user: &str,
    scope: &str,
    now: u64,
) -> Result<bool, Error> {
    let statement = "SELECT 1 FROM tokens WHERE user = ? AND revoked IS NULL \
                     AND (expires IS NULL OR expires > ?) \
                     AND instr(' ' || scopes || ' ', ' ' || ? || ' ') LIMIT 1";
    let query = sqlx::query(statement).bind(user).bind(signed(now)).bind(scope);
    Ok(query.fetch_optional(pool).await?.is_some())
}

pub(super) async fn revoke(pool: &SqlitePool, id: &str, now: u64) -> Result<bool, Error> {
    let done = sqlx::query("UPDATE tokens SET revoked = coalesce(revoked, ?) WHERE id = ?")
        .bind(signed(now))
        .bind(id)
        .execute(pool)
        .await?;
    Ok(done.rows_affected() > 0)
}

pub(super) async fn revoke_user(pool: &SqlitePool, user: &str, now: u64) -> Result<u64, Error> {
    let mut tx = pool.begin().await?;
    let statement = "SELECT count(*) FROM tokens WHERE user = ? AND revoked IS NULL \
                     AND (expires IS NULL OR expires > ?)";
    // The transaction begins with a write, so that no other writer comes between.
    sqlx::query("INSERT INTO revocations (user) VALUES (?)").bind(user).execute(&mut *tx).await?;
    let valid: i64 =
        sqlx::query_scalar(statement).bind(user).bind(signed(now)).fetch_one(&mut *tx).await?;
    sqlx::query("UPDATE tokens SET revoked = ? WHERE user = ? AND revoked IS NULL")
        .bind(signed(now))
        .bind(user)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(u64::try_from(valid).unwrap_or_default())
}

pub(super) async fn last_revocation(pool: &SqlitePool) -> Result<u64, Error> {
    let query = sqlx::query("SELECT coalesce(max(number), 0) AS number FROM revocations");
    unsigned(&query.fetch_one(pool).await?, "number")
}

pub(super) async fn revoked_since(pool: &SqlitePool, number: u64) -> Result<Revoked, Error> {
    let statement = "SELECT r.number, r.user AS whole, t.* FROM revocations r \
                     LEFT JOIN tokens t ON t.id = r.token WHERE r.number > ? ORDER BY r.number";
    let rows = sqlx::query(statement).bind(signed(number)).fetch_all(pool).await?;
    let mut revoked = Revoked { number, ..Revoked::default() };
    for row in &rows {
        revoked.number = unsigned(row, "number")?;
        revoked.users.extend(row.try_get::<Option<String>, _>("whole")?);
        if row.try_get::<Option<String>, _>("id")?.is_some() {
            revoked.tokens.push(token_of(row)?);
        }
    }
    Ok(revoked)
}

pub(super) async fn touch(pool: &SqlitePool, used: &[(String, u64)]) -> Result<(), Error> {
    let mut tx = pool.begin().await?;
    for (id, when) in used {
        sqlx::query("UPDATE tokens SET last_used = ? WHERE id = ?")
            .bind(signed(*when))
            .bind(id)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await
}

pub(super) async fn delete_dead(
    pool: &SqlitePool,
    by: u64,
    most: u32,
    number: u64,
) -> Result<u64, Error> {
    let statement = "DELETE FROM tokens WHERE id IN \
                     (SELECT id FROM tokens WHERE revoked <= ?1 OR expires <= ?1 LIMIT ?2)";
    let dead = sqlx::query(statement).bind(signed(by)).bind(most).execute(pool).await?;
    let seen = sqlx::query("DELETE FROM revocations WHERE number <= ?").bind(signed(number));
    seen.execute(pool).await?;
    Ok(dead.rows_affected())
}

fn token_of(row: &SqliteRow) -> Result<TokenInfo, Error> {
    let time = |column: &str| -> Result<Option<u64>, Error> {
        let value: Option<i64> = row.try_get(column)?;
        Ok(value.and_then(|v| v.try_into().ok()))
    };
    let words = |column: &str| -> Result<Vec<String>, Error> {
        let text: String = row.try_get(column)?;
        Ok(text.split_whitespace().map(str::to_owned).collect())
    };
    Ok(TokenInfo {
        id: row.try_get("id")?,
        user: row.try_get("user")?,
        label: row.try_get("label")?,
        scopes: words("scopes")?,
        groups: words("user_groups")?,
        created: unsigned(row, "created")?,
        expires: time("expires")?,
        last_used: time("last_used")?,
        revoked: time("revoked")?,
    })
}
