//! The story that every store must pass, told once for all of them.

use super::{Change, Store, StoreError, StoredToken};
use relay::{LlmId, Owner, OwnerId, SavedLlm, SavedName, SavedSession, SessionId};
use wire::publisher::{Instance, Provider};
use wire::token::TokenInfo;

/// Runs the story on an empty store.
///
/// # Errors
/// The store's own. A broken promise is a panic of `assert_eq!`: this is for tests.
pub(super) async fn check(store: &dyn Store) -> Result<(), StoreError> {
    rows_and_sessions_come_back_as_they_were(store).await?;
    tokens_are_found_by_hash_and_die_when_revoked_or_expired(store).await?;
    store.ping().await
}

async fn rows_and_sessions_come_back_as_they_were(store: &dyn Store) -> Result<(), StoreError> {
    let owner = Owner { id: OwnerId("mia".into()), label: "Mia".into(), groups: vec!["ml".into()] };
    let session = SavedSession {
        id: SessionId("s".into()),
        owner: owner.clone(),
        instance: Some(Instance { id: "i".into(), name: "laptop".into(), ..Instance::default() }),
        epoch: 3,
        last_seen: 4,
    };
    let mut llm = SavedLlm {
        id: LlmId("l".into()),
        owner: owner.clone(),
        session: session.id.clone(),
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
    let (s, l) = (session.id.clone(), llm.id.clone());
    let first = [
        Change::Session(s.clone(), Some(Box::new(session.clone()))),
        Change::Llm(l.clone(), Some(Box::new(llm.clone()))),
        Change::Name(name.name.clone(), Some(Box::new(name.clone()))),
    ];
    store.apply(&first).await?;
    llm.wake_ms = Some(1200);
    store.apply(&[Change::Llm(l.clone(), Some(Box::new(llm.clone())))]).await?;
    let saved = store.load().await?;
    assert_eq!((saved.llms, saved.sessions), (vec![llm], vec![session]));
    assert_eq!(saved.names, vec![name]);
    // A second row of the same owner and name never stands beside the first, nor in its place.
    let twin = SavedLlm { id: LlmId("twin".into()), ..saved_row(store).await? };
    let twin = Change::Llm(twin.id.clone(), Some(Box::new(twin)));
    assert!(store.apply(std::slice::from_ref(&twin)).await.is_err());
    assert_eq!(saved_row(store).await?.id, l);
    store.apply(&[Change::Llm(l, None), twin]).await?;
    let gone = [
        Change::Llm(LlmId("twin".into()), None),
        Change::Session(s, None),
        Change::Name("old".into(), None),
    ];
    store.apply(&gone).await?;
    let saved = store.load().await?;
    assert!(saved.llms.is_empty() && saved.sessions.is_empty() && saved.names.is_empty());
    Ok(())
}

async fn saved_row(store: &dyn Store) -> Result<SavedLlm, StoreError> {
    let mut rows = store.load().await?.llms;
    assert_eq!(rows.len(), 1);
    Ok(rows.remove(0))
}

async fn tokens_are_found_by_hash_and_die_when_revoked_or_expired(
    store: &dyn Store,
) -> Result<(), StoreError> {
    let token = |id: &str, byte: u8, created: u64, expires: Option<u64>| StoredToken {
        hash: [byte; 32],
        info: TokenInfo {
            id: id.into(),
            user: "mia".into(),
            scopes: vec!["infer".into(), "publish".into()],
            created,
            expires,
            ..TokenInfo::default()
        },
    };
    let (first, second) = (token("a", 1, 10, None), token("b", 2, 20, Some(500)));
    store.add_token(&first).await?;
    store.add_token(&second).await?;
    assert_eq!(store.token(&[1; 32]).await?, Some(first.info.clone()));
    assert_eq!(store.token(&[9; 32]).await?, None);
    assert_eq!(store.tokens().await?, vec![second.info, first.info]);
    store.touch_tokens(&[("a".into(), 77)]).await?;
    assert!(store.revoke_token("a", 100).await?);
    assert!(store.revoke_token("a", 200).await?, "a second revoke is fine");
    assert!(!store.revoke_token("nobody", 100).await?);
    let found = store.token(&[1; 32]).await?.unwrap_or_default();
    assert_eq!((found.revoked, found.last_used), (Some(100), Some(77)));
    let dead = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
    assert_eq!(store.dead_tokens(499).await?, dead(&["a"]));
    assert_eq!(store.dead_tokens(500).await?, dead(&["a", "b"]));
    Ok(())
}
