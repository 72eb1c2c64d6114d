//! The `http` recipe: one request, without redirects, limited in time.

use super::WakeError;
use crate::config::HttpRecipe;
use crate::limits;
use client::request_error;
use reqwest::{Client, Method, redirect};
use std::time::Duration;
use wire::publisher::FailureCode;

pub(super) async fn run(recipe: &HttpRecipe, max_wait: Duration) -> Result<String, WakeError> {
    let http = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .connect_timeout(limits::RECIPE_CONNECT)
        .timeout(limits::RECIPE_HTTP.min(max_wait))
        .build()
        .map_err(|e| failed(e.to_string()))?;
    let method = Method::from_bytes(recipe.method.to_ascii_uppercase().as_bytes())
        .map_err(|_| failed(format!("{:?} is no HTTP method", recipe.method)))?;
    let mut request = http.request(method, recipe.url.clone());
    for (name, value) in &recipe.headers {
        request = request.header(name, expand(value).map_err(failed)?);
    }
    if let Some(body) = &recipe.body {
        request = request.body(body.clone());
    }
    let response = request.send().await.map_err(|error| {
        let is_timeout = error.is_timeout();
        let code =
            if is_timeout { FailureCode::RecipeTimeout } else { FailureCode::RecipeHttpStatus };
        WakeError::new(code, format!("the wake URL {}", request_error::describe(&error)))
    })?;
    // The body is not read: the status is the result.
    match response.status() {
        status if status.is_success() => Ok(status.to_string()),
        status => Err(failed(format!("the wake URL answered {status}"))),
    }
}

fn failed(detail: String) -> WakeError {
    WakeError::new(FailureCode::RecipeHttpStatus, detail)
}

/// Replaces each `${NAME}` by the environment variable's value.
///
/// # Errors
/// The variable is not set, or a `${` is not closed; a sentence for the publisher.
fn expand(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, tail)) = after.split_once('}') else {
            return Err("a ${ in a header has no }".into());
        };
        let value = std::env::var(name);
        out.push_str(before);
        out.push_str(&value.map_err(|_| format!("the environment has no {name}"))?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn a_variable_is_taken_from_the_environment_and_a_missing_one_is_named() {
        let path = std::env::var("PATH").unwrap();
        assert_eq!(expand("a ${PATH} b").unwrap(), format!("a {path} b"));
        assert!(expand("${NO_SUCH_VARIABLE}").unwrap_err().contains("NO_SUCH_VARIABLE"));
        assert!(expand("${PATH").is_err());
    }
}
