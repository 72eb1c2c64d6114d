//! Parts of the OpenAPI document that are the same for many routes. Each handler declares its own
//! route with `#[utoipa::path]`.

use axum::routing::MethodRouter;
use http::StatusCode;
use std::collections::BTreeMap;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::response::Response;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, Content, InfoBuilder, OpenApi, OpenApiBuilder, RefOr, Required, ResponseBuilder,
    Schema,
};
use utoipa::{IntoParams, IntoResponses};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

/// Name of the only security scheme.
const BEARER: &str = "bearer";
/// Statuses that a request with a key may get on every route: the key was sent twice, it is not
/// valid, there is no room for another connection with a key.
const WITH_KEY: &[u16] = &[400, 401, 503];

/// A router whose document has no routes yet.
#[must_use]
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S> {
    let info = InfoBuilder::new().title("mcpd").version(env!("CARGO_PKG_VERSION"));
    let info = info.description(Some("Virtual LLMs, published from people's own machines."));
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    let mut components = Components::new();
    components.add_security_scheme(BEARER, bearer);
    let document = OpenApiBuilder::new().info(info).components(Some(components));
    OpenApiRouter::with_openapi(document.build())
}

/// Adds a handler that the document shows at another path than the router has: names may contain
/// slashes, so the router takes the rest of the path where the document has one parameter.
#[must_use]
pub(crate) fn route_as<S: Clone + Send + Sync + 'static>(
    mut router: OpenApiRouter<S>,
    path: &str,
    shown: &str,
    (schemas, mut paths, handler): UtoipaMethodRouter<S>,
) -> OpenApiRouter<S> {
    let items = std::mem::take(&mut paths.paths).into_values();
    let item = items.reduce(|mut all, item| {
        all.merge_operations(item);
        all
    });
    let document = router.get_openapi_mut();
    if let Some(item) = item {
        let there = document.paths.paths.entry(shown.to_owned());
        there.or_default().merge_operations(item);
    }
    let components = document.components.get_or_insert_default();
    components.schemas.extend(schemas);
    let handler: MethodRouter<S> = handler;
    router.route(path, handler)
}

/// Adds to the POST of this path that its body may also be a form that names a model.
pub(crate) fn also_takes_forms(document: &mut OpenApi, path: &str) {
    let form = ObjectBuilder::new()
        .property("model", Object::with_type(Type::String))
        .property("stream", Object::with_type(Type::Boolean))
        .required("model");
    let content = Content::new(Some(Schema::from(form.build())));
    let item = document.paths.paths.get_mut(path);
    if let Some(body) = item.and_then(|item| item.post.as_mut()?.request_body.as_mut()) {
        body.content.insert("multipart/form-data".to_owned(), content);
    }
}

/// Completes the document with what follows from each route's declaration: the statuses that a key
/// can lead to, and a description of each status.
pub(crate) fn complete(document: &mut OpenApi) {
    for item in document.paths.paths.values_mut() {
        for operation in operations(item).into_iter().flatten() {
            complete_operation(operation);
        }
    }
}

fn operations(item: &mut PathItem) -> [&mut Option<Operation>; 4] {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.delete]
}

fn complete_operation(operation: &mut Operation) {
    // Function names are not unique over all handlers.
    operation.operation_id = None;
    let needs = serde_json::to_value(&operation.security).unwrap_or_default();
    let scopes = needs.as_array().into_iter().flatten().filter_map(|need| need.get(BEARER));
    let (mut has_key, mut has_scope) = (false, false);
    for scopes in scopes {
        has_key = true;
        has_scope |= scopes.as_array().is_some_and(|scopes| !scopes.is_empty());
    }
    let with_key = WITH_KEY.iter().filter(|_| has_key);
    let with_scope = std::iter::once(&403).filter(|_| has_scope);
    let responses = &mut operation.responses.responses;
    for status in with_key.chain(with_scope) {
        responses.entry(status.to_string()).or_insert_with(|| described(*status).into());
    }
    for (status, response) in responses {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            response.description = status.parse().map(reason).unwrap_or_default().to_owned();
        }
    }
}

fn described(status: u16) -> Response {
    ResponseBuilder::new().description(reason(status)).build()
}

fn reason(status: u16) -> &'static str {
    let status = StatusCode::from_u16(status).ok();
    status.and_then(|status| status.canonical_reason()).unwrap_or_default()
}

fn statuses(statuses: &[u16]) -> BTreeMap<String, RefOr<Response>> {
    statuses.iter().map(|status| (status.to_string(), described(*status).into())).collect()
}

fn text_parameter(name: &str, place: ParameterIn) -> Parameter {
    let text = Schema::from(Object::with_type(Type::String));
    let parameter = ParameterBuilder::new().name(name).parameter_in(place);
    parameter.required(Required::False).schema(Some(text)).build()
}

/// The header that names the publisher's session.
pub(crate) struct SessionHeader;

impl IntoParams for SessionHeader {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![text_parameter(wire::headers::SESSION, ParameterIn::Header)]
    }
}

/// The headers that name the publisher's session and its epoch.
pub(crate) struct SessionHeaders;

impl IntoParams for SessionHeaders {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        let names = [wire::headers::SESSION, wire::headers::EPOCH];
        names.map(|name| text_parameter(name, ParameterIn::Header)).to_vec()
    }
}

/// Errors of every route that names a publisher's task.
pub(crate) struct TaskErrors;

impl IntoResponses for TaskErrors {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        statuses(&[400, 404, 408, 409, 410, 413, 429])
    }
}

/// Responses of every relayed route; a backend may send any other status.
pub(crate) struct RelayedResponses;

impl IntoResponses for RelayedResponses {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        statuses(&[200, 400, 404, 408, 413, 429, 431, 502, 503, 504])
    }
}
