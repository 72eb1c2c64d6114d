//! Tests that every store must pass, on whatever database.

use super::{Change, Revoked, Store, StoreError, StoredToken, TokenQuery};
use relay::{LlmId, Owner, OwnerId, SavedLlm, SavedName, SavedSession, SessionId};
use wire::publisher::{Instance, Provider};
use wire::token::TokenInfo;

/// Runs all of them on an empty store; a violation panics.
///
/// # Errors
/// A call to the store failed that must not fail.
pub(super) async fn check(store: &dyn Store) -> Result<(), StoreError> {
    entries_sessions_and_names_are_loaded_as_they_were_stored(store).await?;
    tokens_are_found_by_hash_and_die_when_revoked_or_expired(store).await?;
    tokens_are_listed_page_by_page_and_user_by_user(store).await?;
    revocations_are_reported_once_and_dead_tokens_are_deleted(store).await?;
    store.ping().await
}

async fn entries_sessions_and_names_are_loaded_as_they_were_stored(
    store: &dyn Store,
) -> Result<(), StoreError> {
    let owner = Owner { id: OwnerId("mia".into()), label: "Mia".into(), groups: vec!["ml".into()] };
    let session = SavedSession {
        id: SessionId(1),
        owner: owner.clone(),
        instance: Some(Instance { id: "i".into(), name: "laptop".into(), ..Instance::default() }),
        epoch: 3,
        last_seen: 4,
    };
    let mut llm = SavedLlm {
        id: LlmId(2),
        owner: owner.clone(),
        session: session.id,
        provider: Provider { name: "qwen".into(), pool: Some("p".into()), ..Provider::default() },
        created: 1,
        last_seen: 2,
        wake_ms: None,
    };
    let name = SavedName {
        name: "old".into(),
        owner: owner.id.clone(),
        shared_by_owner: vec!["tom".into()],
        shared_by_admin: vec!["*".into()],
        served: true,
        reserved_until: Some(9),
    };
    let (s, l) = (session.id, llm.id);
    let first = [
        Change::Session(s, Some(Box::new(session.clone()))),
        Change::Llm(l, Some(Box::new(llm.clone()))),
        Change::Name(name.name.clone(), Some(Box::new(name.clone()))),
    ];
    store.apply(&first).await?;
    llm.wake_ms = Some(1200);
    store.apply(&[Change::Llm(l, Some(Box::new(llm.clone())))]).await?;
    let saved = store.load().await?;
    assert_eq!((saved.llms, saved.sessions), (vec![llm], vec![session]));
    assert_eq!(saved.names, vec![name]);
    // A second entry of the same owner and name is refused, and does not replace the first.
    let twin = SavedLlm { id: LlmId(3), ..saved_entry(store).await? };
    let twin = Change::Llm(twin.id, Some(Box::new(twin)));
    assert!(store.apply(std::slice::from_ref(&twin)).await.is_err());
    assert_eq!(saved_entry(store).await?.id, l);
    store.apply(&[Change::Llm(l, None), twin]).await?;
    let gone =
        [Change::Llm(LlmId(3), None), Change::Session(s, None), Change::Name("old".into(), None)];
    store.apply(&gone).await?;
    let saved = store.load().await?;
    assert!(saved.llms.is_empty() && saved.sessions.is_empty() && saved.names.is_empty());
    Ok(())
}

async fn saved_entry(store: &dyn Store) -> Result<SavedLlm, StoreError> {
    let mut entries = store.load().await?.llms;
    assert_eq!(entries.len(), 1);
    Ok(entries.remove(0))
}

fn token(id: &str, byte: u8, user: &str, expires: Option<u64>) -> StoredToken {
    StoredToken {
        hash: [byte; 32],
        info: TokenInfo {
            id: id.into(),
            user: user.into(),
            scopes: vec!["infer".into(), "publish".into()],
            groups: vec!["ops".into(), "ml/team".into()],
            created: u64::from(byte),
            expires,
            ..TokenInfo::default()
        },
    }
}

async fn tokens_are_found_by_hash_and_die_when_revoked_or_expired(
    store: &dyn Store,
) -> Result<(), StoreError> {
    let (first, second) = (token("a", 1, "mia", None), token("b", 2, "mia", Some(500)));
    store.add_token(&first).await?;
    store.add_token(&second).await?;
    assert_eq!(store.token(&[1; 32]).await?, Some(first.info.clone()));
    assert_eq!(store.token_with_id("a").await?, Some(first.info));
    assert_eq!(store.token(&[9; 32]).await?, None);
    assert_eq!(store.token_with_id("nobody").await?, None);
    store.touch_tokens(&[("a".into(), 77)]).await?;
    assert!(store.has_token("mia", "publish", 600).await?, "one that never expires");
    assert!(!store.has_token("mia", "pub", 0).await?, "a scope is a whole word");
    assert!(!store.has_token("tom", "publish", 0).await?);
    assert!(store.revoke_token("a", 100).await?);
    assert!(store.revoke_token("a", 200).await?, "a second revoke is fine");
    assert!(!store.revoke_token("nobody", 100).await?);
    let found = store.token(&[1; 32]).await?.unwrap_or_default();
    assert_eq!((found.revoked, found.last_used), (Some(100), Some(77)));
    assert!(store.has_token("mia", "publish", 499).await?);
    assert!(!store.has_token("mia", "publish", 500).await?);
    Ok(())
}

async fn tokens_are_listed_page_by_page_and_user_by_user(
    store: &dyn Store,
) -> Result<(), StoreError> {
    store.add_token(&token("c", 3, "tom", None)).await?;
    let list = async |user, after, most| {
        let tokens = store.tokens(&TokenQuery { user, after, most }).await?;
        Ok::<_, StoreError>(tokens.into_iter().map(|token| token.id).collect::<Vec<_>>())
    };
    assert_eq!(list(None, None, 9).await?, ["c", "b", "a"], "newest first");
    assert_eq!(list(None, None, 2).await?, ["c", "b"]);
    assert_eq!(list(None, Some("b"), 2).await?, ["a"]);
    assert_eq!(list(Some("mia"), None, 1).await?, ["b"]);
    assert_eq!(list(Some("mia"), Some("b"), 1).await?, ["a"]);
    assert_eq!(list(Some("eve"), None, 1).await?, [""; 0]);
    Ok(())
}

async fn revocations_are_reported_once_and_dead_tokens_are_deleted(
    store: &dyn Store,
) -> Result<(), StoreError> {
    let ids =
        |revoked: &Revoked| revoked.tokens.iter().map(|token| token.id.clone()).collect::<Vec<_>>();
    let all = store.revoked_since(0).await?;
    assert_eq!((ids(&all), all.users.len()), (vec!["a".to_owned()], 0), "once, not twice");
    assert_eq!(store.last_revocation().await?, all.number);
    let none = store.revoked_since(all.number).await?;
    assert_eq!(none, Revoked { number: all.number, ..Revoked::default() });
    store.add_token(&token("d", 4, "tom", Some(900))).await?;
    assert_eq!(store.revoke_user("tom", 950).await?, 1, "an expired one does not count");
    assert_eq!(store.revoke_user("tom", 999).await?, 0);
    let later = store.revoked_since(all.number).await?;
    let mut found = ids(&later);
    found.sort();
    assert_eq!((found, &later.users[0]), (vec!["c".to_owned(), "d".to_owned()], &"tom".to_owned()));

    // "a" died at 100, "b" at 500, "d" at 900, "c" at 950.
    assert_eq!(store.delete_dead(99, 9, 0).await?, 0);
    assert_eq!(store.delete_dead(500, 1, 0).await?, 1, "step by step");
    assert_eq!(store.delete_dead(500, 9, 0).await?, 1);
    assert_eq!(store.token_with_id("a").await?, None);
    let left = store.tokens(&TokenQuery { most: 9, ..TokenQuery::default() }).await?;
    assert_eq!(left.iter().map(|token| token.id.as_str()).collect::<Vec<_>>(), ["d", "c"]);
    let last = store.last_revocation().await?;
    assert_eq!(store.delete_dead(0, 9, last).await?, 0);
    assert_eq!(store.last_revocation().await?, 0, "applied ones are deleted");
    store.add_token(&token("e", 5, "eve", None)).await?;
    store.revoke_token("e", 1).await?;
    assert_eq!(ids(&store.revoked_since(last).await?), ["e"], "numbers are never reused");
    Ok(())
}
