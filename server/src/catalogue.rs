//! The published models: OpenAI's list of models, and the catalogue with its states.

use crate::auth::{ADMIN, INFER, Principal};
use crate::http::error::ApiError;
use crate::http::openapi::route_as;
use crate::state::App;
use axum::Json;
use axum::extract::{Path, State};
use relay::{Allowed, LlmView};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use wire::catalogue::{Catalogue, LlmInfo, Model, ModelList};
use wire::paths;

/// The routes of this room.
pub(crate) fn routes() -> OpenApiRouter<Arc<App>> {
    let router = OpenApiRouter::default().routes(routes!(models)).routes(routes!(llms));
    let router = route_as(router, "/v1/models/{*id}", "/v1/models/{id}", routes!(model));
    route_as(router, "/api/v1/llms/{*name}", "/api/v1/llms/{name}", routes!(llm))
}

/// Lists the models and pools that the key may call; wakes none of them
#[utoipa::path(
    get,
    path = "/v1/models",
    security(("bearer" = ["infer"]), ("bearer" = ["infer:<name>"]), ("bearer" = ["publish"])),
    responses((status = 200, body = ModelList)),
)]
async fn models(
    State(app): State<Arc<App>>,
    principal: Principal,
) -> Result<Json<ModelList>, ApiError> {
    Ok(Json(ModelList { object: "list".into(), data: callable(&app, &principal)? }))
}

/// Returns one of these models
#[utoipa::path(
    get,
    path = "/v1/models/{id}",
    security(("bearer" = ["infer"]), ("bearer" = ["infer:<name>"]), ("bearer" = ["publish"])),
    params(("id" = String, Path)),
    responses((status = 200, body = Model), (status = 404)),
)]
async fn model(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<Json<Model>, ApiError> {
    let models = callable(&app, &principal)?;
    let found = models.iter().find(|m| m.id == id.to_ascii_lowercase()).cloned();
    let names = || models.iter().map(|m| m.id.clone()).collect::<Vec<_>>();
    found.map(Json).ok_or_else(|| ApiError::no_such_model(&names()))
}

/// Lists the catalogue, with the state of each model
#[utoipa::path(
    get,
    path = paths::LLMS,
    security(("bearer" = [])),
    responses((status = 200, body = Catalogue)),
)]
async fn llms(
    State(app): State<Arc<App>>,
    principal: Principal,
) -> Result<Json<Catalogue>, ApiError> {
    Ok(Json(Catalogue { llms: visible(&app, &principal) }))
}

/// Returns the catalogue entry of this name, or with `NAME@user` that user's
#[utoipa::path(
    get,
    path = "/api/v1/llms/{name}",
    security(("bearer" = [])),
    params(("name" = String, Path)),
    responses((status = 200, body = LlmInfo), (status = 404)),
)]
async fn llm(
    State(app): State<Arc<App>>,
    principal: Principal,
    Path(name): Path<String>,
) -> Result<Json<LlmInfo>, ApiError> {
    let entries = visible(&app, &principal);
    let (name, user) = relay::parse_wanted(&name);
    let is_named = |entry: &&LlmInfo| {
        entry.name.eq_ignore_ascii_case(name)
            && user.is_none_or(|user| entry.owner.eq_ignore_ascii_case(user))
    };
    let found = entries.iter().find(is_named).cloned();
    let names = || entries.iter().map(|entry| entry.name.clone()).collect::<Vec<_>>();
    found.map(Json).ok_or_else(|| ApiError::no_such_model(&names()))
}

/// The entries that the key may see: callers see what they may call, publishers their own, admins
/// all.
fn visible(app: &App, principal: &Principal) -> Vec<LlmInfo> {
    let allowed = principal.allowed();
    let sees = |entry: &LlmView| {
        principal.has(ADMIN) || allowed.as_ref().is_some_and(|allowed| covers(allowed, entry))
    };
    let entries = app.relay.with(|relay, _, _| relay.catalogue());
    entries.into_iter().filter(sees).map(|entry| entry.info).collect()
}

/// The models and pools that the key may call.
fn callable(app: &App, principal: &Principal) -> Result<Vec<Model>, ApiError> {
    let Some(allowed) = principal.allowed() else {
        return Err(ApiError::forbidden(INFER));
    };
    app.relay.with(|relay, _, _| {
        let mut models = BTreeMap::new();
        for entry in relay.catalogue().iter().filter(|entry| covers(&allowed, entry)) {
            let info = &entry.info;
            for id in std::iter::once(info.name.as_str()).chain(info.pool.as_deref()) {
                let owner = relay.name_owner(id).map_or(info.owner.as_str(), |owner| &owner.0);
                models.entry(id.to_owned()).or_insert_with(|| Model {
                    id: id.to_owned(),
                    object: "model".into(),
                    created: info.created / 1000,
                    owned_by: owner.to_owned(),
                });
            }
        }
        Ok(models.into_values().collect())
    })
}

fn covers(allowed: &Allowed, entry: &LlmView) -> bool {
    allowed.covers(&entry.info.name, entry.info.pool.as_deref(), &entry.owner.0)
}
