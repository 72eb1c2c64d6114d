//! Every route with what there is to know of it: who may ask, what it takes, what it answers. Router and
//! OpenAPI document are made from the same list, so that neither can have what the other lacks.

use crate::state::App;
use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use std::borrow::Cow;
use std::sync::Arc;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{Object, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Content, InfoBuilder, OpenApi, OpenApiBuilder, PathItem, PathsBuilder, Ref,
    RefOr, Required, ResponseBuilder, Schema,
};
use utoipa::{PartialSchema, ToSchema};

/// The name of the only way to say who one is.
const BEARER: &str = "bearer";

/// One route.
pub(crate) struct Route {
    path: Cow<'static, str>,
    /// As the document has it, where that is more than the router can say.
    shown: Option<&'static str>,
    method: HttpMethod,
    handler: MethodRouter<Arc<App>>,
    says: &'static str,
    needs: Needs,
    takes: Option<(&'static str, RefOr<Schema>)>,
    answers: Vec<(u16, Option<RefOr<Schema>>)>,
    headers: Vec<&'static str>,
    queries: Vec<&'static str>,
    schemas: Vec<(String, RefOr<Schema>)>,
}

/// What somebody needs to be let in.
enum Needs {
    Nothing,
    /// A key, whatever it is for.
    Key,
    /// A key with one of these scopes.
    Scopes(&'static [&'static str]),
}

macro_rules! method {
    ($name:ident, $filter:ident, $method:ident) => {
        /// A route of this method.
        pub(crate) fn $name<H, T>(path: impl Into<Cow<'static, str>>, handler: H) -> Self
        where
            H: Handler<T, Arc<App>>,
            T: 'static,
        {
            Self::new(path.into(), HttpMethod::$method, on(MethodFilter::$filter, handler))
        }
    };
}

impl Route {
    method!(get, GET, Get);
    method!(post, POST, Post);
    method!(put, PUT, Put);
    method!(delete, DELETE, Delete);

    fn new(path: Cow<'static, str>, method: HttpMethod, handler: MethodRouter<Arc<App>>) -> Self {
        Self {
            path,
            shown: None,
            method,
            handler,
            says: "",
            needs: Needs::Key,
            takes: None,
            answers: Vec::new(),
            headers: Vec::new(),
            queries: Vec::new(),
            schemas: Vec::new(),
        }
    }

    /// What it is for.
    pub(crate) fn says(self, says: &'static str) -> Self {
        Self { says, ..self }
    }

    /// The document has this path: names may contain slashes, so the router takes everything.
    pub(crate) fn shown_as(self, path: &'static str) -> Self {
        Self { shown: Some(path), ..self }
    }

    /// A key with one of these scopes is needed.
    pub(crate) fn needs(self, scopes: &'static [&'static str]) -> Self {
        Self { needs: Needs::Scopes(scopes), ..self }
    }

    /// No key is needed.
    pub(crate) fn open(self) -> Self {
        Self { needs: Needs::Nothing, ..self }
    }

    /// It takes this as JSON.
    pub(crate) fn takes<T: ToSchema>(mut self) -> Self {
        let schema = self.schema::<T>();
        self.takes = Some(("application/json", schema));
        self
    }

    /// It takes a body whose shape is a backend's business.
    pub(crate) fn takes_any(self, kind: &'static str) -> Self {
        Self { takes: Some((kind, anything())), ..self }
    }

    /// It answers with this as JSON.
    pub(crate) fn answers<T: ToSchema>(mut self, status: u16) -> Self {
        let schema = self.schema::<T>();
        self.answers.push((status, Some(schema)));
        self
    }

    /// It may answer with these and a body of no fixed shape, or none.
    pub(crate) fn may(mut self, statuses: &[u16]) -> Self {
        self.answers.extend(statuses.iter().map(|status| (*status, None)));
        self
    }

    /// These headers say more.
    pub(crate) fn headers(self, headers: &[&'static str]) -> Self {
        Self { headers: headers.to_vec(), ..self }
    }

    /// These parameters of the query say more.
    pub(crate) fn queries(self, queries: &[&'static str]) -> Self {
        Self { queries: queries.to_vec(), ..self }
    }

    fn schema<T: ToSchema>(&mut self) -> RefOr<Schema> {
        self.schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(&mut self.schemas);
        Ref::from_schema_name(T::name()).into()
    }

    /// The path as the document has it: what axum takes to the end is a parameter like others there.
    fn template(&self) -> String {
        self.shown.map_or_else(|| self.path.replace("{*", "{"), str::to_owned)
    }

    fn operation(&self) -> OperationBuilder {
        let mut operation = OperationBuilder::new().summary(Some(self.says));
        let template = self.template();
        let names = template.split('{').skip(1).filter_map(|rest| rest.split('}').next());
        let text = || Some(Schema::from(Object::with_type(Type::String)));
        for name in names {
            let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path);
            operation = operation.parameter(parameter.required(Required::True).schema(text()));
        }
        let headers = self.headers.iter().map(|name| (name, ParameterIn::Header));
        let queries = self.queries.iter().map(|name| (name, ParameterIn::Query));
        for (name, place) in headers.chain(queries) {
            let parameter = ParameterBuilder::new().name(*name).parameter_in(place);
            operation = operation.parameter(parameter.required(Required::False).schema(text()));
        }
        if let Some((kind, schema)) = &self.takes {
            let content = Content::new(Some(schema.clone()));
            let body = RequestBodyBuilder::new().content(*kind, content);
            operation = operation.request_body(Some(body.required(Some(Required::True)).build()));
        }
        for (status, schema) in &self.answers {
            let mut response = ResponseBuilder::new().description(reason(*status));
            if let Some(schema) = schema {
                response = response.content("application/json", Content::new(Some(schema.clone())));
            }
            operation = operation.response(status.to_string(), response);
        }
        if !matches!(self.needs, Needs::Nothing) {
            // A key that was sent twice, and no room for another connection with a key.
            for status in [400, 503] {
                let response = ResponseBuilder::new().description(reason(status));
                operation = operation.response(status.to_string(), response);
            }
        }
        match self.needs {
            Needs::Nothing => operation.securities(Some([SecurityRequirement::default()])),
            Needs::Key => operation
                .security(SecurityRequirement::new(BEARER, <[&str; 0]>::default()))
                .response("401", ResponseBuilder::new().description(reason(401))),
            Needs::Scopes(scopes) => operation
                .securities(Some(scopes.iter().map(|s| SecurityRequirement::new(BEARER, [*s]))))
                .response("401", ResponseBuilder::new().description(reason(401)))
                .response("403", ResponseBuilder::new().description(reason(403))),
        }
    }
}

fn anything() -> RefOr<Schema> {
    serde_json::Value::schema()
}

fn reason(status: u16) -> &'static str {
    let status = http::StatusCode::from_u16(status).ok();
    status.and_then(|status| status.canonical_reason()).unwrap_or("see the body")
}

/// The router, and the document that describes it.
pub(crate) fn router(routes: Vec<Route>) -> (Router<Arc<App>>, OpenApi) {
    let (mut router, mut paths) = (Router::new(), PathsBuilder::new());
    let mut components = ComponentsBuilder::new().security_scheme(
        BEARER,
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()),
    );
    for mut route in routes {
        let item = PathItem::new(route.method.clone(), route.operation());
        paths = paths.path(route.template(), item);
        for (name, schema) in std::mem::take(&mut route.schemas) {
            components = components.schema(name, schema);
        }
        router = router.route(&route.path, route.handler);
    }
    let info = InfoBuilder::new().title("mcpd").version(env!("CARGO_PKG_VERSION"));
    let info = info.description(Some("Virtual LLMs, published from people's own machines."));
    let document =
        OpenApiBuilder::new().info(info).paths(paths).components(Some(components.build()));
    (router, document.build())
}
