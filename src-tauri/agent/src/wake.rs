//! `wake NAME --test`: runs a provider's wake recipe as the registrar would, and prints each step.

use crate::signals;
use anyhow::{Context as _, bail};
use client::terminal;
use registrar::home::Home;
use registrar::wake::{Recipes, Step};
use registrar::{config, http_clients};
use std::time::{Duration, Instant};

pub(crate) async fn test(home: &Home, name: &str) -> anyhow::Result<()> {
    let text = config::file::read(&home.config())?;
    let parsed = config::parse(&text)?;
    let provider = parsed.config.provider(name).with_context(|| {
        let warnings: Vec<_> = parsed.warnings.iter().map(ToString::to_string).collect();
        format!("config.json has no usable provider {name} {}", warnings.join("; "))
    })?;
    let http = http_clients::backend_client().map_err(anyhow::Error::msg)?;
    #[expect(clippy::disallowed_methods, reason = "times for people to read")]
    let start = Instant::now();
    let termination = signals::termination()?;
    let recipes = Recipes::new(home);
    let waking = recipes.wake(&http, provider, |step| print(start.elapsed(), step));
    let result = tokio::select! {
        () = termination => None,
        result = waking => Some(result),
    };
    recipes.finish().await;
    match result {
        None => bail!("stopped"),
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => bail!("the wake failed ({}): {}", error.code, error.detail),
    }
}

/// Prints a step. The wake continues even if the reader of the output has gone.
fn print(elapsed: Duration, step: Step) {
    let text = match step {
        Step::Recipe(recipe) => format!("running: {recipe}"),
        Step::Done(output) if output.is_empty() => "the recipe is done".to_owned(),
        Step::Done(output) => format!("the recipe is done; its output: {output}"),
        Step::NotReady(why) => format!("not ready yet: {why}"),
        Step::Ready => "the backend answers".to_owned(),
    };
    let _ = terminal::try_line(format_args!("{:6.1} s  {text}", elapsed.as_secs_f64()));
}
