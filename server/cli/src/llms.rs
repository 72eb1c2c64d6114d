//! `get llm` and `describe llm`.

use crate::api::Api;
use crate::limits;
use crate::output::{self, Output};
use crate::table::{add, age, local_time, or_dash, print, table};
use client::terminal;
use comfy_table::Table;
use reqwest::Method;
use wire::catalogue::{Catalogue, LlmInfo};
use wire::paths;

pub(crate) async fn get(
    api: &Api,
    name: Option<&str>,
    output: Output,
    watch: bool,
) -> anyhow::Result<()> {
    let mut shown: Option<Vec<LlmInfo>> = None;
    loop {
        let llms = fetch(api, name).await?;
        if shown.as_ref() != Some(&llms) {
            show(&llms, output)?;
        }
        if !watch {
            return Ok(());
        }
        shown = Some(llms);
        tokio::time::sleep(limits::WATCH_INTERVAL).await;
    }
}

async fn fetch(api: &Api, name: Option<&str>) -> anyhow::Result<Vec<LlmInfo>> {
    match name {
        Some(name) => Ok(vec![fetch_one(api, name).await?]),
        None => {
            let catalogue: Catalogue = api.json(api.request(Method::GET, paths::LLMS)).await?;
            Ok(catalogue.llms)
        }
    }
}

async fn fetch_one(api: &Api, name: &str) -> anyhow::Result<LlmInfo> {
    let path = format!("{}/{name}", paths::LLMS);
    api.json(api.request(Method::GET, &path)).await
}

fn show(llms: &[LlmInfo], output: Output) -> anyhow::Result<()> {
    match output {
        Output::Json => terminal::json(&llms)?,
        Output::Yaml => output::yaml(&llms)?,
        Output::Table | Output::Wide if llms.is_empty() => {
            terminal::note("No models are published, or your token allows none of them.");
        }
        Output::Table => print(&table_of(llms)),
        Output::Wide => print(&wide_table_of(llms)),
    }
    Ok(())
}

fn table_of(llms: &[LlmInfo]) -> Table {
    let mut table = table(&["NAME", "KIND", "STATUS", "MODEL", "OWNER", "AGE"]);
    for llm in llms {
        add(&mut table, &common_cells(llm));
    }
    table
}

fn wide_table_of(llms: &[LlmInfo]) -> Table {
    let mut table = table(&[
        "NAME",
        "KIND",
        "STATUS",
        "MODEL",
        "OWNER",
        "AGE",
        "TYPE",
        "IN-FLIGHT",
        "QUEUED",
        "POOL",
        "INSTANCE",
        "SINCE",
        "REASON",
    ]);
    for llm in llms {
        let mut row = common_cells(llm);
        row.extend([
            or_dash(llm.backend.as_str()),
            format!("{}/{}", llm.in_flight, llm.max_concurrency),
            llm.queued.to_string(),
            or_dash(llm.pool.as_deref()),
            or_dash(llm.instance.as_deref()),
            age(llm.since),
            or_dash(llm.reason.as_deref()),
        ]);
        add(&mut table, &row);
    }
    table
}

fn common_cells(llm: &LlmInfo) -> Vec<String> {
    vec![
        llm.name.clone(),
        llm.kind.clone(),
        status(llm),
        or_dash(llm.model.as_deref()),
        or_dash(llm.owner.as_str()),
        age(llm.created),
    ]
}

/// Combines the backend's state with the state of its publisher's connection.
fn status(llm: &LlmInfo) -> String {
    let word = if llm.waking { "waking" } else { llm.status.as_str() };
    if llm.connected || word == "inactive" { word.to_owned() } else { format!("{word}, away") }
}

pub(crate) async fn describe(api: &Api, name: &str) -> anyhow::Result<()> {
    let llm = fetch_one(api, name).await?;
    let mut lines = vec![
        ("Name", llm.name.clone()),
        ("Kind", llm.kind.clone()),
        ("Status", format!("{} since {}", status(&llm), local_time(llm.since))),
        ("Reason", or_dash(llm.reason.as_deref())),
        ("Model", or_dash(llm.model.as_deref())),
        ("Backend", or_dash(llm.backend.as_str())),
        ("Description", or_dash(llm.description.as_deref())),
        ("Tier", or_dash(llm.tier.as_deref())),
        ("Pool", or_dash(llm.pool.as_deref())),
        ("Owner", or_dash(llm.owner.as_str())),
        ("Instance", or_dash(llm.instance.as_deref())),
        ("Created", local_time(llm.created)),
        ("In flight", format!("{} of {}", llm.in_flight, llm.max_concurrency)),
        ("Queued", llm.queued.to_string()),
    ];
    lines.extend(llm.context_length.map(|tokens| ("Context", format!("{tokens} tokens"))));
    lines.extend(llm.wake_ms.map(|ms| ("Wakes in", format!("about {:.1} s", ms as f64 / 1000.0))));
    for (label, value) in lines {
        terminal::line(format_args!("{label:12} {value}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{status, table_of};
    use wire::catalogue::{LlmInfo, LlmStatus};

    fn llm() -> LlmInfo {
        LlmInfo {
            name: "qwen3-8b".into(),
            kind: "virtual".into(),
            status: LlmStatus::Hibernating,
            connected: true,
            model: Some("q4".into()),
            owner: "mia".into(),
            created: u64::MAX,
            ..LlmInfo::default()
        }
    }

    #[test]
    fn the_table_has_the_columns_that_scripts_rely_on() {
        let lines: Vec<String> = table_of(&[llm()]).lines().map(|l| l.trim_end().into()).collect();
        assert_eq!(
            lines,
            [
                "NAME      KIND     STATUS       MODEL  OWNER  AGE",
                "qwen3-8b  virtual  hibernating  q4     mia    0s",
            ]
        );
    }

    #[test]
    fn the_status_shows_that_a_publisher_is_away() {
        assert_eq!(status(&LlmInfo { connected: false, ..llm() }), "hibernating, away");
        assert_eq!(status(&LlmInfo { waking: true, ..llm() }), "waking");
    }
}
