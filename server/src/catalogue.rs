//! What is published: the OpenAI list of models, and the catalogue with its states.

use crate::auth::Principal;
use crate::http::error::ApiError;
use crate::state::App;
use axum::Json;
use axum::extract::{Path, State};
use relay::{Allowed, LlmView};
use std::collections::BTreeMap;
use std::sync::Arc;
use wire::catalogue::{Catalogue, LlmInfo, Model, ModelList};

/// `GET /v1/models`: names and pools that the key may use. Never wakes anything.
pub(crate) async fn models(
    State(app): State<Arc<App>>,
    principal: Principal,
) -> Result<Json<ModelList>, ApiError> {
    Ok(Json(ModelList { object: "list".into(), data: usable(&app, &principal)? }))
}

/// `GET /v1/models/:id`. Names may contain slashes.
pub(crate) async fn model(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<Model>, ApiError> {
    let models = usable(&app, &principal)?;
    let found = models.iter().find(|m| m.id == id.to_ascii_lowercase()).cloned();
    let names = || models.iter().map(|m| m.id.clone()).collect::<Vec<_>>();
    found.map(Json).ok_or_else(|| ApiError::no_such_model(&names()))
}

/// `GET /api/v1/llms`.
pub(crate) async fn llms(
    State(app): State<Arc<App>>,
    principal: Principal,
) -> Result<Json<Catalogue>, ApiError> {
    Ok(Json(Catalogue { llms: visible(&app, &principal) }))
}

/// `GET /api/v1/llms/:name`: the row of that name, or with `NAME@user` that user's.
pub(crate) async fn llm(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(name): Path<String>,
) -> Result<Json<LlmInfo>, ApiError> {
    let rows = visible(&app, &principal);
    let (name, user) = relay::parse_wanted(&name);
    let named = |row: &&LlmInfo| {
        row.name.eq_ignore_ascii_case(name)
            && user.is_none_or(|user| row.owner.eq_ignore_ascii_case(user))
    };
    let found = rows.iter().find(named).cloned();
    let names = || rows.iter().map(|row| row.name.clone()).collect::<Vec<_>>();
    found.map(Json).ok_or_else(|| ApiError::no_such_model(&names()))
}

/// Callers see what they may use, publishers their own, admins all.
fn visible(app: &App, principal: &Principal) -> Vec<LlmInfo> {
    let allowed = principal.allowed();
    let sees = |row: &LlmView| {
        principal.has("admin") || allowed.as_ref().is_some_and(|allowed| covers(allowed, row))
    };
    let rows = app.relay.with(|relay, _, _| relay.catalogue());
    rows.into_iter().filter(sees).map(|row| row.info).collect()
}

fn usable(app: &App, principal: &Principal) -> Result<Vec<Model>, ApiError> {
    let Some(allowed) = principal.allowed() else {
        return Err(ApiError::forbidden("infer"));
    };
    app.relay.with(|relay, _, _| {
        let mut models = BTreeMap::new();
        for row in relay.catalogue().iter().filter(|row| covers(&allowed, row)) {
            for id in std::iter::once(row.info.name.as_str()).chain(row.info.pool.as_deref()) {
                let owner = relay.name_owner(id).map_or(row.info.owner.as_str(), |owner| &owner.0);
                models.entry(id.to_owned()).or_insert_with(|| Model {
                    id: id.to_owned(),
                    object: "model".into(),
                    created: row.info.created / 1000,
                    owned_by: owner.to_owned(),
                });
            }
        }
        Ok(models.into_values().collect())
    })
}

fn covers(allowed: &Allowed, row: &LlmView) -> bool {
    allowed.covers(&row.info.name, row.info.pool.as_deref(), &row.owner.0)
}
