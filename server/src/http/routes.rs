//! Every route: what it is for, who may ask, what it takes and what it answers.

use crate::admin::{names, pairing, tokens};
use crate::http::openapi::Route;
use crate::publishers::{self, responses, results};
use crate::{callers, catalogue, http::health};
use wire::catalogue::{Catalogue, LlmInfo, Model, ModelList};
use wire::names::{NameInfo, NameList, ShareName};
use wire::publisher::{Heartbeat, HeartbeatReply, Register, Registered, TaskResult};
use wire::token::{
    CreateToken, CreatedToken, Pair, Pairing, PairingList, RevokedTokens, TokenList,
};
use wire::{headers, paths};

/// All of them.
pub(crate) fn all() -> Vec<Route> {
    [of_publishers(), of_callers(), of_admins(), probes()].into_iter().flatten().collect()
}

/// Scopes of callers; `infer:<name>` is for one model, `publish` for what its user publishes.
const INFER: &[&str] = &["infer", "infer:<name>", "publish"];

fn of_publishers() -> Vec<Route> {
    let task = |end: &str| format!("{}/{{id}}/{end}", paths::TASK_PREFIX);
    vec![
        Route::post(paths::REGISTER, publishers::register)
            .says("Declare everything that this machine publishes")
            .needs(&["publish"])
            .takes::<Register>()
            .answers::<Registered>(201)
            .may(&[400, 408, 409, 413, 429, 503]),
        Route::get(paths::STREAM, publishers::stream).needs(&["publish"]).on_a_channel(),
        Route::post(paths::STREAM, publishers::stream).needs(&["publish"]).on_a_channel(),
        Route::get(paths::POLL, publishers::poll).needs(&["publish"]).on_a_channel(),
        Route::post(paths::HEARTBEAT, publishers::heartbeat)
            .says("Say that it lives, how its backends are, and what runs")
            .needs(&["publish"])
            .takes::<Heartbeat>()
            .answers::<HeartbeatReply>(200)
            .may(&[400, 404, 408, 409, 413, 429]),
        Route::post(paths::PROBE, publishers::probe)
            .says("Ask whether a proxy holds uploads back")
            .needs(&["publish"])
            .takes_any("application/octet-stream")
            .headers(&[headers::SESSION])
            .may(&[200, 204, 400, 404, 408, 413]),
        Route::get(task("request"), responses::request)
            .says("The request of a task, as its caller sent it")
            .on_a_task(&[200]),
        Route::post(task("ack"), responses::ack).says("The task has arrived").on_a_task(&[204]),
        Route::post(task("response"), responses::response)
            .says("The backend's answer, byte for byte, as it comes")
            .takes_any("application/octet-stream")
            .on_a_task(&[200, 204]),
        Route::post(task("result"), results::result)
            .says("An answer of protocol 1, a failure, or how a wake ended")
            .takes::<TaskResult>()
            .on_a_task(&[200, 204]),
    ]
}

fn of_callers() -> Vec<Route> {
    let mut routes = vec![
        Route::get("/v1/models", catalogue::models)
            .says("The models that this key may use")
            .answers::<ModelList>(200)
            .needs(INFER),
        Route::get("/v1/models/{*id}", catalogue::model)
            .says("One of them")
            .answers::<Model>(200)
            .may(&[404])
            .needs(INFER),
        Route::get(paths::LLMS, catalogue::llms)
            .says("The catalogue, with the state of each model")
            .answers::<Catalogue>(200),
        // names may contain slashes: the end `/infer` is looked for in the handler
        Route::get("/api/v1/llms/{*name}", catalogue::llm)
            .says("One row of the catalogue")
            .answers::<LlmInfo>(200)
            .may(&[404]),
        Route::post("/api/v1/llms/{*name}", callers::infer)
            .shown_as("/api/v1/llms/{name}/infer")
            .says("A chat with the model that the path names")
            .relayed(),
    ];
    let says = "Passed on to the model that the body names, byte for byte";
    let relayed = |path: &&'static str| Route::post(*path, callers::relayed).says(says).relayed();
    routes.extend(paths::RELAYED.iter().map(relayed));
    routes
}

fn of_admins() -> Vec<Route> {
    [of_tokens(), of_pairings(), of_names()].into_iter().flatten().collect()
}

fn of_tokens() -> Vec<Route> {
    vec![
        Route::get(paths::TOKENS, tokens::list)
            .says("Keys, newest first, without their text")
            .needs(&["admin"])
            .queries(&["user", "after", "limit"])
            .answers::<TokenList>(200)
            .may(&[400]),
        Route::post(paths::TOKENS, tokens::create)
            .says("Make a key")
            .needs(&["admin"])
            .takes::<CreateToken>()
            .answers::<CreatedToken>(201)
            .may(&[400, 413]),
        Route::delete("/api/v1/tokens/{id}", tokens::revoke)
            .says("Take a key away")
            .needs(&["admin"])
            .may(&[204, 404]),
        Route::delete(paths::TOKENS, tokens::revoke_user)
            .says("Take all keys of a user away, and the pairing codes for that user")
            .needs(&["admin"])
            .queries(&["user"])
            .answers::<RevokedTokens>(200)
            .may(&[400, 404]),
    ]
}

fn of_pairings() -> Vec<Route> {
    vec![
        Route::get(paths::PAIRINGS, pairing::list)
            .says("The codes that wait to become keys, without the codes themselves")
            .needs(&["admin"])
            .answers::<PairingList>(200),
        Route::post(paths::PAIRINGS, pairing::create)
            .says("Make a code that becomes a key")
            .needs(&["admin"])
            .takes::<CreateToken>()
            .answers::<Pairing>(201)
            .may(&[400, 413, 429]),
        Route::delete("/api/v1/pairings/{id}", pairing::remove)
            .says("Take a code back")
            .needs(&["admin"])
            .may(&[204, 404]),
        Route::post(paths::PAIR, pairing::redeem)
            .says("Turn a code into its key, once")
            .open()
            .takes::<Pair>()
            .answers::<CreatedToken>(201)
            .may(&[400, 404, 413, 429]),
    ]
}

fn of_names() -> Vec<Route> {
    vec![
        Route::get(paths::NAMES, names::list)
            .says("Whose each name is, and who may serve it: all, or a publisher's own")
            .needs(&["admin", "publish"])
            .answers::<NameList>(200),
        // names may contain slashes: the end `/share` is looked for in the handler
        Route::put("/api/v1/names/{*name}", names::share)
            .shown_as("/api/v1/names/{name}/share")
            .says("Share a name with users and groups, beside its owner")
            .needs(&["admin"])
            .takes::<ShareName>()
            .answers::<NameInfo>(200)
            .may(&[400, 404, 413]),
        Route::delete("/api/v1/names/{*name}", names::free)
            .says("Take a name from its owner")
            .needs(&["admin"])
            .may(&[204, 404]),
    ]
}

fn probes() -> Vec<Route> {
    vec![
        Route::get(paths::HEALTHZ, health::healthz).says("It lives").open().may(&[200]),
        Route::get(paths::READYZ, health::readyz).says("It takes work").open().may(&[200, 503]),
    ]
}

impl Route {
    fn on_a_channel(self) -> Self {
        let route = self.says("What the server wants of this machine, as it comes");
        route.headers(&[headers::SESSION, headers::EPOCH]).may(&[200, 400, 404, 409])
    }

    fn on_a_task(self, good: &[u16]) -> Self {
        let headers = [headers::SESSION, headers::EPOCH];
        let route = self.needs(&["publish"]).headers(&headers).may(good);
        route.may(&[400, 404, 408, 409, 410, 413, 429])
    }

    /// Whatever the backend answers may come back.
    fn relayed(self) -> Self {
        let route = self.needs(INFER).takes_any("application/json");
        route.may(&[200, 400, 404, 408, 413, 429, 431, 502, 503, 504])
    }
}
