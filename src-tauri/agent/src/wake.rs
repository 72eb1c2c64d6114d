//! `wake NAME --test`: the recipe, step by step, as the registrar would run it.

use crate::out;
use anyhow::{Context as _, bail};
use registrar::home::Home;
use registrar::wake::{Recipes, Step};
use registrar::{config, http_clients};
use std::time::Instant;

pub(crate) async fn test(home: &Home, name: &str) -> anyhow::Result<()> {
    let text = config::file::read(&home.config())?;
    let parsed = config::parse(&text)?;
    let provider = parsed.config.provider(name).with_context(|| {
        let left_out: Vec<_> = parsed.warnings.iter().map(ToString::to_string).collect();
        format!("config.json has no usable provider {name} {}", left_out.join("; "))
    })?;
    let http = http_clients::backend_client().map_err(anyhow::Error::msg)?;
    #[expect(clippy::disallowed_methods, reason = "the clock of the person who watches")]
    let began = Instant::now();
    let stopped = crate::run::signal()?;
    let recipes = Recipes::new(home);
    let waking = recipes.wake(&http, provider, |step| {
        let at = began.elapsed().as_secs_f64();
        match step {
            Step::Recipe(what) => out::line(format!("{at:6.1} s  running: {what}")),
            Step::Done(said) if said.is_empty() => {
                out::line(format!("{at:6.1} s  the recipe is done"))
            }
            Step::Done(said) => {
                out::line(format!("{at:6.1} s  the recipe is done; it said: {said}"))
            }
            Step::NotReady(why) => out::line(format!("{at:6.1} s  not ready yet: {why}")),
            Step::Ready => out::line(format!("{at:6.1} s  the backend answers")),
        }
    });
    let woken = tokio::select! {
        () = stopped => None,
        woken = waking => Some(woken),
    };
    recipes.finish().await;
    match woken {
        None => bail!("stopped"),
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => bail!("the wake failed ({}): {}", error.code, error.detail),
    }
}
