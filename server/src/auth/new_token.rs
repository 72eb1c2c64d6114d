//! What an admin may wish for as a token, and how it is made.

use super::{generate, hash};
use crate::http::error::ApiError;
use crate::limits::{SCOPES, TOKEN_SECONDS};
use crate::store::{Store, StoredToken};
use wire::limits::GROUPS;
use wire::names::{check_text, normalise};
use wire::token::{CreateToken, CreatedToken, TokenInfo};

/// Checks a wish for a token, makes it and stores its hash.
///
/// # Errors
/// 400 for a bad wish; the store's failure.
pub async fn create(
    store: &dyn Store,
    wish: &CreateToken,
    now: u64,
) -> Result<CreatedToken, ApiError> {
    let wish = accept(wish).map_err(|why| ApiError::invalid(why, None))?;
    let kind = match wish.scopes.as_slice() {
        [one] => one.split(':').next().unwrap_or("key"),
        _ => "key",
    };
    let token = generate(kind);
    let info = TokenInfo {
        id: uuid::Uuid::now_v7().simple().to_string(),
        user: wish.user,
        label: wish.label.unwrap_or_default(),
        scopes: wish.scopes,
        groups: wish.groups,
        created: now,
        expires: wish.expires_in_seconds.map(|secs| now.saturating_add(secs * 1000)),
        last_used: None,
        revoked: None,
    };
    let stored = StoredToken { hash: hash(&token), info: info.clone() };
    store.add_token(&stored).await.map_err(ApiError::internal)?;
    Ok(CreatedToken { token, info })
}

/// The wish as it is stored, if such a token can be made.
///
/// # Errors
/// What is wrong with the wish.
pub(crate) fn accept(wish: &CreateToken) -> Result<CreateToken, String> {
    let user = user(&wish.user)?;
    let label = wish.label.as_deref().map(str::trim);
    check_text("`label`", label.unwrap_or_default())?;
    scopes(&wish.scopes)?;
    if let Some(seconds) = wish.expires_in_seconds
        && !(1..=TOKEN_SECONDS).contains(&seconds)
    {
        return Err(format!(
            "a token lives at least a second and at most a hundred years ({TOKEN_SECONDS} s), \
             not {seconds} s; without a time it never expires"
        ));
    }
    Ok(CreateToken {
        user,
        scopes: wish.scopes.clone(),
        groups: groups(&wish.groups)?,
        label: label.map(str::to_owned),
        expires_in_seconds: wish.expires_in_seconds,
    })
}

fn user(text: &str) -> Result<String, String> {
    let user = text.trim();
    if user.is_empty() {
        return Err("`user` must name whom the token acts for".into());
    }
    check_text("`user`", user)?;
    // Names are shared with users, with `group:<group>` and with `*`.
    if user == "*" || user.to_ascii_lowercase().starts_with("group:") {
        return Err("`user` must not be * and must not begin with group:".into());
    }
    Ok(user.to_owned())
}

fn scopes(scopes: &[String]) -> Result<(), String> {
    if scopes.is_empty() {
        return Err("`scopes` must have at least one of infer, infer:<name>, publish, admin".into());
    }
    if scopes.len() > SCOPES {
        return Err(format!("a token has at most {SCOPES} scopes, not {}", scopes.len()));
    }
    for scope in scopes {
        match scope.split_once(':') {
            Some(("infer", name)) => {
                normalise(name).map_err(|why| format!("scope {:?}: {why}", short(scope)))?;
            }
            None if matches!(scope.as_str(), "infer" | "publish" | "admin") => {}
            Some(_) | None => {
                return Err(format!(
                    "scope {:?} is not known; use infer, infer:<name>, publish or admin",
                    short(scope)
                ));
            }
        }
    }
    Ok(())
}

/// Normalised, each once.
fn groups(groups: &[String]) -> Result<Vec<String>, String> {
    if groups.len() > GROUPS {
        return Err(format!("a user has at most {GROUPS} groups, not {}", groups.len()));
    }
    let mut accepted: Vec<String> = Vec::new();
    for group in groups {
        let name = normalise(group).map_err(|why| format!("group {:?}: {why}", short(group)))?;
        if !accepted.contains(&name) {
            accepted.push(name);
        }
    }
    Ok(accepted)
}

/// What is said of a text that may be very long.
fn short(text: &str) -> String {
    text.chars().take(wire::names::MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::accept;
    use crate::limits::TOKEN_SECONDS;
    use wire::token::CreateToken;

    fn wish() -> CreateToken {
        CreateToken { user: "mia".into(), scopes: vec!["infer".into()], ..CreateToken::default() }
    }

    #[test]
    fn a_wish_with_an_unknown_scope_is_refused_by_its_name() {
        let with = |scope: &str| CreateToken { scopes: vec![scope.into()], ..wish() };
        for good in ["infer", "infer:qwen3:8b", "publish", "admin"] {
            assert_eq!(accept(&with(good)), Ok(with(good)));
        }
        for bad in ["root", "publish:x", "infer:", "INFER", &"x".repeat(1 << 20)] {
            let why = accept(&with(bad)).unwrap_err();
            assert!(why.contains("scope") && why.len() < 300, "{why}");
        }
        let many = CreateToken { scopes: vec!["infer".into(); 65], ..wish() };
        assert!(accept(&many).unwrap_err().contains("64"));
    }

    #[test]
    fn a_user_or_label_that_could_rewrite_a_terminal_or_be_mistaken_is_refused() {
        for bad in ["", " ", "mia\u{1b}[2J", "mia\n", "\u{202e}aim", "*", "Group:ops"] {
            let user = CreateToken { user: bad.into(), ..wish() };
            if bad.trim() == "mia" {
                assert_eq!(accept(&user).unwrap().user, "mia", "what stands around it is cut off");
            } else {
                assert!(accept(&user).unwrap_err().contains("`user`"), "{bad:?}");
            }
        }
        for bad in ["\u{9b}31m", "a\tb", &"x".repeat(257)] {
            let label = CreateToken { label: Some(bad.into()), ..wish() };
            assert!(accept(&label).unwrap_err().contains("`label`"), "{bad:?}");
        }
    }

    #[test]
    fn groups_are_names_and_each_counts_once() {
        let with = |groups: &[&str]| CreateToken {
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            ..wish()
        };
        assert_eq!(accept(&with(&["Ops", "ops", "ml/team"])).unwrap().groups, ["ops", "ml/team"]);
        assert!(accept(&with(&["a b"])).unwrap_err().contains("group"));
        let many: Vec<String> = (0..33).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(accept(&with(&many)).unwrap_err().contains("32"));
    }

    #[test]
    fn a_life_without_measure_is_refused_and_a_long_one_is_not() {
        let lives = |seconds| CreateToken { expires_in_seconds: Some(seconds), ..wish() };
        for bad in [0, TOKEN_SECONDS + 1, 1_000_000_000_000_000_000, u64::MAX] {
            assert!(accept(&lives(bad)).unwrap_err().contains("hundred years"), "{bad}");
        }
        assert!(accept(&lives(TOKEN_SECONDS)).is_ok());
    }
}
