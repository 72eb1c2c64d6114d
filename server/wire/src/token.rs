//! Token administration: `/api/v1/tokens`. The token's text appears once, in [`CreatedToken`].

use serde::{Deserialize, Serialize};

/// `POST /api/v1/tokens`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct CreateToken {
    /// The user that the token acts for; rows belong to the user, not to the token.
    pub user: String,
    /// `infer`, `infer:<name>`, `publish`, `admin`; apart from each other.
    pub scopes: Vec<String>,
    /// Groups of the user, for names that are shared with `group:<group>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Seconds until it expires; absent means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
}

/// Answer 201 to [`CreateToken`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct CreatedToken {
    /// The token itself; shown once, stored as a hash.
    pub token: String,
    /// What was stored.
    #[serde(flatten)]
    pub info: TokenInfo,
}

/// Answer 201 to `POST /api/v1/pairings`, whose body is a [`CreateToken`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Pairing {
    /// What a person types, as `K7QM-3XTP`; good once.
    pub code: String,
    /// Unix milliseconds.
    pub expires: u64,
}

/// `POST /api/v1/pair`; the answer is a [`CreatedToken`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Pair {
    /// The code; dashes, spaces and case do not matter.
    pub code: String,
}

/// `GET /api/v1/tokens`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct TokenList {
    /// The tokens, newest first.
    pub tokens: Vec<TokenInfo>,
}

/// One stored token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct TokenInfo {
    /// Names the token in `revoke`.
    pub id: String,
    /// The user that it acts for.
    pub user: String,
    /// For people.
    pub label: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Groups of the user.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Unix milliseconds.
    pub created: u64,
    /// Unix milliseconds; absent means never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// Unix milliseconds, to the minute; absent means never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used: Option<u64>,
    /// Unix milliseconds; absent while it is valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked: Option<u64>,
}
