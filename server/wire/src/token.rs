//! Token administration: `/api/v1/tokens`. The token's text appears once, in [`CreatedToken`].

use serde::{Deserialize, Serialize};

/// `POST /api/v1/tokens`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct CreateToken {
    /// The user that the token acts for; LLMs belong to the user, not to the token.
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

/// Response 201 to [`CreateToken`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct CreatedToken {
    /// The token itself; shown once, stored as a hash.
    pub token: String,
    /// The token as it is stored.
    #[serde(flatten)]
    pub info: TokenInfo,
}

/// Response 201 to `POST /api/v1/pairings`, whose body is a [`CreateToken`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct Pairing {
    /// The code that a person types, such as `K7QM-3XTP-9RWD`; valid once, and shown only here.
    pub code: String,
    /// The code's other data.
    #[serde(flatten)]
    pub info: PairingInfo,
}

/// A pairing code that waits to be used, without the code itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct PairingInfo {
    /// Names it in `DELETE /api/v1/pairings/:id`.
    pub id: String,
    /// The user that its token will act for.
    pub user: String,
    /// Scopes of its token.
    pub scopes: Vec<String>,
    /// Groups of the user.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// For people.
    pub label: String,
    /// The user of the key that made it; the code is void when that key is.
    pub made_by: String,
    /// Unix milliseconds.
    pub created: u64,
    /// Unix milliseconds.
    pub expires: u64,
}

/// `GET /api/v1/pairings`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct PairingList {
    /// Unused codes, newest first.
    pub pairings: Vec<PairingInfo>,
}

/// `POST /api/v1/pair`; the response is a [`CreatedToken`].
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
    /// The tokens, newest first; at most [`crate::limits::TOKEN_PAGE`] of them.
    pub tokens: Vec<TokenInfo>,
    /// Set if there are more: `?after=` this id lists them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Response 200 to `DELETE /api/v1/tokens?user=`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(utoipa::ToSchema))]
pub struct RevokedTokens {
    /// Number of valid tokens that were revoked.
    pub tokens: u64,
    /// Number of the user's unused pairing codes that were revoked.
    pub pairings: u64,
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
    /// Its scopes.
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
