//! Creates tokens, and checks what an administrator requests for one.

use super::secret::{generate, hash};
use crate::http::error::ApiError;
use crate::limits::{SCOPES, TOKEN_SECONDS};
use crate::store::{Store, StoreError, StoredToken};
use wire::limits::GROUPS;
use wire::names::{check_text, normalise};
use wire::token::{CreateToken, CreatedToken, TokenInfo};

/// Reason why a token could not be created.
#[derive(Debug, thiserror::Error)]
pub enum CreateTokenError {
    /// The request is not acceptable; the text says why.
    #[error("{0}")]
    Invalid(String),
    /// The token could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<CreateTokenError> for ApiError {
    fn from(error: CreateTokenError) -> Self {
        match error {
            CreateTokenError::Invalid(why) => Self::invalid(why, None),
            CreateTokenError::Store(error) => Self::internal(error),
        }
    }
}

/// Checks a request for a token, creates the token and stores its hash. `now` is in unix
/// milliseconds.
///
/// # Errors
/// [`CreateTokenError`]: the request is not acceptable, or the store failed.
pub async fn create(
    store: &dyn Store,
    request: &CreateToken,
    now: u64,
) -> Result<CreatedToken, CreateTokenError> {
    let request = validate(request).map_err(CreateTokenError::Invalid)?;
    let kind = match request.scopes.as_slice() {
        [one] => one.split(':').next().unwrap_or("key"),
        _ => "key",
    };
    let token = generate(kind);
    let info = TokenInfo {
        id: uuid::Uuid::now_v7().simple().to_string(),
        user: request.user,
        label: request.label.unwrap_or_default(),
        scopes: request.scopes,
        groups: request.groups,
        created: now,
        expires: request.expires_in_seconds.map(|secs| now.saturating_add(secs * 1000)),
        last_used: None,
        revoked: None,
    };
    let stored = StoredToken { hash: hash(&token), info: info.clone() };
    store.add_token(&stored).await?;
    Ok(CreatedToken { token, info })
}

/// Checks a request for a token and returns it in the form in which it is stored.
///
/// # Errors
/// A sentence for people that names the field at fault.
pub(crate) fn validate(request: &CreateToken) -> Result<CreateToken, String> {
    let user = user(&request.user)?;
    let label = request.label.as_deref().map(str::trim);
    check_text("`label`", label.unwrap_or_default())?;
    scopes(&request.scopes)?;
    if let Some(seconds) = request.expires_in_seconds
        && !(1..=TOKEN_SECONDS).contains(&seconds)
    {
        return Err(format!(
            "a token lives at least a second and at most a hundred years ({TOKEN_SECONDS} s), \
             not {seconds} s; without a time it never expires"
        ));
    }
    Ok(CreateToken {
        user,
        scopes: request.scopes.clone(),
        groups: groups(&request.groups)?,
        label: label.map(str::to_owned),
        expires_in_seconds: request.expires_in_seconds,
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

/// Normalises the groups and removes duplicates.
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

/// The beginning of a text that may be very long, for an error message.
fn short(text: &str) -> String {
    text.chars().take(wire::names::MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::validate;
    use crate::limits::TOKEN_SECONDS;
    use wire::token::CreateToken;

    fn request() -> CreateToken {
        CreateToken { user: "mia".into(), scopes: vec!["infer".into()], ..CreateToken::default() }
    }

    #[test]
    fn an_unknown_scope_is_refused_by_its_name() {
        let with = |scope: &str| CreateToken { scopes: vec![scope.into()], ..request() };
        for good in ["infer", "infer:qwen3:8b", "publish", "admin"] {
            assert_eq!(validate(&with(good)), Ok(with(good)));
        }
        for bad in ["root", "publish:x", "infer:", "INFER", &"x".repeat(1 << 20)] {
            let why = validate(&with(bad)).unwrap_err();
            assert!(why.contains("scope") && why.len() < 300, "{why}");
        }
        let many = CreateToken { scopes: vec!["infer".into(); 65], ..request() };
        assert!(validate(&many).unwrap_err().contains("64"));
    }

    #[test]
    fn a_user_or_label_that_could_rewrite_a_terminal_or_be_misread_is_refused() {
        for bad in ["", " ", "mia\u{1b}[2J", "mia\n", "\u{202e}aim", "*", "Group:ops"] {
            let user = CreateToken { user: bad.into(), ..request() };
            if bad.trim() == "mia" {
                assert_eq!(validate(&user).unwrap().user, "mia", "surrounding space is removed");
            } else {
                assert!(validate(&user).unwrap_err().contains("`user`"), "{bad:?}");
            }
        }
        for bad in ["\u{9b}31m", "a\tb", &"x".repeat(257)] {
            let label = CreateToken { label: Some(bad.into()), ..request() };
            assert!(validate(&label).unwrap_err().contains("`label`"), "{bad:?}");
        }
    }

    #[test]
    fn groups_are_normalised_and_duplicates_removed() {
        let with = |groups: &[&str]| CreateToken {
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            ..request()
        };
        assert_eq!(validate(&with(&["Ops", "ops", "ml/team"])).unwrap().groups, ["ops", "ml/team"]);
        assert!(validate(&with(&["a b"])).unwrap_err().contains("group"));
        let many: Vec<String> = (0..33).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(validate(&with(&many)).unwrap_err().contains("32"));
    }

    #[test]
    fn a_lifetime_outside_the_limits_is_refused_and_a_long_one_is_not() {
        let lives = |seconds| CreateToken { expires_in_seconds: Some(seconds), ..request() };
        for bad in [0, TOKEN_SECONDS + 1, 1_000_000_000_000_000_000, u64::MAX] {
            assert!(validate(&lives(bad)).unwrap_err().contains("hundred years"), "{bad}");
        }
        assert!(validate(&lives(TOKEN_SECONDS)).is_ok());
    }
}
