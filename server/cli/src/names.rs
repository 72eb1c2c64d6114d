//! `name …`: lists, shares and frees names of models and pools.

use crate::api::Api;
use crate::output::{self, Output};
use crate::table::{add, local_time, or_dash, print, table};
use anyhow::Context as _;
use client::terminal;
use reqwest::Method;
use wire::names::{NameInfo, NameList, ShareName};
use wire::paths::NAMES;

pub(crate) async fn list(api: &Api, output: Output) -> anyhow::Result<()> {
    let list: NameList = api.json(api.request(Method::GET, NAMES)).await?;
    match output {
        Output::Json => terminal::json(&list.names)?,
        Output::Yaml => output::yaml(&list.names)?,
        Output::Table | Output::Wide => {
            let headings =
                ["NAME", "OWNER", "SERVED BY", "SHARED WITH", "REQUESTED BY", "RESERVED"];
            let mut rows = table(&headings);
            list.names.iter().for_each(|name| add(&mut rows, &cells(name)));
            print(&rows);
        }
    }
    Ok(())
}

fn cells(name: &NameInfo) -> Vec<String> {
    let shared: Vec<String> =
        name.shared_by_owner.iter().chain(&name.shared_by_admin).cloned().collect();
    let list = |users: &[String]| or_dash(users.join(",").as_str());
    vec![
        name.name.clone(),
        name.owner.clone(),
        list(&name.served_by),
        list(&shared),
        list(&name.requested_by),
        name.reserved_until.map_or_else(|| "-".into(), |at| format!("until {}", local_time(at))),
    ]
}

/// Shares a name with these users and groups; the list replaces the previous one.
pub(crate) async fn share(api: &Api, name: &str, with: &[String]) -> anyhow::Result<()> {
    let path = format!("{}/share", path(name)?);
    let body = ShareName { with: with.to_vec() };
    let shared: NameInfo = api.json(api.request(Method::PUT, &path).json(&body)).await?;
    let with = shared.shared_by_admin.join(", ");
    if with.is_empty() {
        terminal::line(format_args!("{} is shared by its owner only.", shared.name));
    } else {
        terminal::line(format_args!(
            "{} may be served by {} and {with}.",
            shared.name, shared.owner
        ));
    }
    Ok(())
}

pub(crate) async fn free(api: &Api, name: &str) -> anyhow::Result<()> {
    api.send(api.request(Method::DELETE, &path(name)?)).await?;
    terminal::line(format_args!("{name} is free."));
    Ok(())
}

fn path(name: &str) -> anyhow::Result<String> {
    let name = wire::names::normalise(name).map_err(anyhow::Error::msg);
    Ok(format!("{NAMES}/{}", name.context("this is not a valid name")?))
}
