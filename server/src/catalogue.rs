//! What is published: the OpenAI list of models, and the catalogue with its states.

use crate::auth::Principal;
use crate::error::ApiError;
use crate::state::App;
use axum::Json;
use axum::extract::{Path, State};
use relay::LlmView;
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

/// `GET /api/v1/llms/:name`.
pub(crate) async fn llm(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(name): Path<String>,
) -> Result<Json<LlmInfo>, ApiError> {
    let rows = visible(&app, &principal);
    let found = rows.iter().find(|row| row.name == name.to_ascii_lowercase()).cloned();
    let names = || rows.iter().map(|row| row.name.clone()).collect::<Vec<_>>();
    found.map(Json).ok_or_else(|| ApiError::no_such_model(&names()))
}

/// Callers see what they may use, publishers their own, admins all.
fn visible(app: &App, principal: &Principal) -> Vec<LlmInfo> {
    let (allowed, owner) = (principal.allowed(), principal.owner().id);
    let sees = |row: &LlmView| {
        principal.has("admin")
            || (principal.has("publish") && row.owner == owner)
            || allowed.as_ref().is_some_and(|a| a.covers(&row.info.name, pool(&row.info)))
    };
    let rows = app.driver.with(|relay, _, _| relay.catalogue());
    rows.into_iter().filter(sees).map(|row| row.info).collect()
}

fn usable(app: &App, principal: &Principal) -> Result<Vec<Model>, ApiError> {
    let Some(allowed) = principal.allowed() else {
        return Err(ApiError::forbidden("infer"));
    };
    let rows = app.driver.with(|relay, _, _| relay.catalogue());
    let mut models = BTreeMap::new();
    for row in rows.iter().map(|row| &row.info).filter(|r| allowed.covers(&r.name, pool(r))) {
        for id in std::iter::once(row.name.as_str()).chain(pool(row)) {
            models.entry(id.to_owned()).or_insert_with(|| Model {
                id: id.to_owned(),
                object: "model".into(),
                created: row.created / 1000,
                owned_by: row.owner.clone(),
            });
        }
    }
    Ok(models.into_values().collect())
}

fn pool(row: &LlmInfo) -> Option<&str> {
    row.pool.as_deref()
}
