//! One entry of `llm.providers` in config.json.

use super::fields::Fields;
use super::name_sharing::{self, DECLINE, SHARE};
use super::problem::FieldError;
use super::recipe::{self, Sleep, Wake};
use super::urls;
use crate::limits::MAX_CONCURRENCY;
use crate::provider_kinds::ProviderKind;
use serde_json::Value;
use url::Url;
use wire::limits::SHARES;

/// A backend, as config.json describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct ProviderConfig {
    /// Name in the catalogue, normalised ([`wire::names::normalise`]).
    pub name: String,
    /// `type`, `openai` if absent. An unknown kind stays in the list, and the status reports it.
    pub kind: ProviderKind,
    /// Where the backend listens; the kind's default URL if absent.
    pub url: Url,
    /// The backend's own model id; the provider's name if absent.
    pub model: Option<String>,
    /// Sent to the server unchanged.
    pub tier: Option<String>,
    /// Sent to the server unchanged.
    pub description: Option<String>,
    /// True if it is published; false if absent.
    pub publish: bool,
    /// Recipe that wakes the backend.
    pub wake: Option<Wake>,
    /// Recipe that puts the backend to sleep.
    pub sleep: Option<Sleep>,
    /// Name that several machines serve.
    pub pool: Option<String>,
    /// Other users who may serve its name and pool, see [`name_sharing`].
    pub share_name: Vec<String>,
    /// Users whose requests for its name and pool are not shown.
    pub decline_name: Vec<String>,
    /// Requests at once, 1 if absent.
    pub max_concurrency: u32,
    /// Context length in tokens, sent to the server unchanged.
    pub context_length: Option<u64>,
    /// Name of the environment variable that holds the backend's key.
    pub api_key_env: Option<String>,
}

/// Checks an entry; returns an error for each invalid field. Empty: it can be published.
#[must_use]
pub fn check(entry: &Value) -> Vec<FieldError> {
    parse(entry).err().unwrap_or_default()
}

pub(super) fn parse(entry: &Value) -> Result<ProviderConfig, Vec<FieldError>> {
    let Value::Object(map) = entry else {
        return Err(vec![FieldError::new("", "it must be an object")]);
    };
    let mut fields = Fields::new(map);
    let name = name(&mut fields);
    let kind = ProviderKind::from_config(fields.string("type").as_deref());
    let url = url(&mut fields, &kind);
    let max_concurrency = max_concurrency(&mut fields);
    let wake = fields.block("wake", recipe::wake);
    let sleep = fields.block("sleep", recipe::sleep);
    let (model, tier) = (fields.string("model"), fields.string("tier"));
    let (description, pool) = (fields.string("description"), fields.string("pool"));
    let (publish, context_length) = (fields.boolean("publish"), fields.integer("contextLength"));
    let api_key_env = fields.string("apiKeyEnv");
    let share_name = fields.strings(SHARE, SHARES, name_sharing::check_share);
    let decline_name = fields.strings(DECLINE, SHARES, name_sharing::check_user);
    match (name, url, max_concurrency) {
        (Some(name), Some(url), Some(max_concurrency)) if fields.are_valid() => {
            Ok(ProviderConfig {
                name,
                kind,
                url,
                model,
                tier,
                description,
                publish: publish.unwrap_or(false),
                wake,
                sleep,
                pool,
                share_name,
                decline_name,
                max_concurrency,
                context_length,
                api_key_env,
            })
        }
        _ => Err(fields.into_errors()),
    }
}

fn name(fields: &mut Fields<'_>) -> Option<String> {
    let name = fields.string("name").unwrap_or_default();
    match wire::names::normalise(&name) {
        _ if name.is_empty() => fields.refuse("name", "name is missing"),
        Ok(name) => Some(name),
        Err(message) => fields.refuse("name", message),
    }
}

fn url(fields: &mut Fields<'_>, kind: &ProviderKind) -> Option<Url> {
    let default_url = match kind.info() {
        Some(info) => info.default_url,
        // It cannot be published, but it must not be reported as broken either.
        None => Some("http://127.0.0.1"),
    };
    let url = match (fields.string("url"), default_url) {
        (Some(text), _) => urls::check_backend_url(&text),
        (None, Some(default)) => Url::parse(default).map_err(|error| error.to_string()),
        (None, None) => Err(format!("url is missing; type {kind} needs it")),
    };
    url.map_err(|message| fields.refuse::<()>("url", message)).ok()
}

fn max_concurrency(fields: &mut Fields<'_>) -> Option<u32> {
    match u32::try_from(fields.integer("maxConcurrency").unwrap_or(1)) {
        Ok(number @ 1..=MAX_CONCURRENCY) => Some(number),
        Ok(_) | Err(_) => {
            let message = format!("it must be between 1 and {MAX_CONCURRENCY}");
            fields.refuse("maxConcurrency", message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::config::parse;

    #[test]
    fn one_wrong_provider_is_left_out_by_name_and_field_and_the_others_work() {
        for (bad, word) in [
            (r#"{"name": "a", "url": 5}"#, "url"),
            (r#"{"name": "a", "url": "ftp://x"}"#, "http"),
            (r#"{"name": "a"}"#, "url is missing"),
            (r#"{"name": "a b", "url": "http://x"}"#, "name"),
            (r#"{"url": "http://x"}"#, "name is missing"),
            (r#"{"name": "a", "url": "http://x", "publish": "yes"}"#, "publish"),
            (r#"{"name": "a", "url": "http://x", "maxConcurrency": 0}"#, "maxConcurrency"),
            (r#"{"name": "a", "url": "http://x", "wake": {"type": "shell"}}"#, "wake"),
            (r#"{"name": "a", "url": "http://x", "wake": {"type": "wol", "mac": "zz"}}"#, "mac"),
            (
                r#"{"name": "a", "url": "http://x", "wake": {"type": "command", "command": "c",
                "maxWaitSeconds": 901}}"#,
                "900",
            ),
            (
                r#"{"name": "a", "url": "http://x", "sleep": {"type": "wol",
                "mac": "aa:bb:cc:dd:ee:ff", "idleSeconds": 9}}"#,
                "magic",
            ),
            (
                r#"{"name": "a", "url": "http://x", "shareName": "tom"}"#,
                "shareName: it must be a list",
            ),
            (r#"{"name": "a", "url": "http://x", "shareName": [7]}"#, "a list of texts"),
            (
                r#"{"name": "a", "url": "http://x", "shareName": ["group:"]}"#,
                "a group must have a name",
            ),
            (r#"{"name": "a", "url": "http://x", "declineName": ["*"]}"#, "more than one user"),
            ("7", "object"),
        ] {
            let text =
                format!(r#"{{"llm": {{"providers": [{bad}, {{"name": "ok", "type": "vllm"}}]}}}}"#);
            let parsed = parse(&text).unwrap();
            assert_eq!(parsed.config.providers.len(), 1, "{bad}");
            assert!(parsed.warnings[0].message.contains(word), "{bad}: {:?}", parsed.warnings);
        }
    }

    #[test]
    fn a_name_is_shared_with_at_most_as_many_as_the_server_takes() {
        let with = |count: usize| {
            let list: Vec<String> = (0..count).map(|n| format!("user-{n}")).collect();
            let entry = serde_json::json!({"name": "a", "type": "vllm", "shareName": list});
            check(&entry)
        };
        assert_eq!(with(64), vec![]);
        assert!(with(65)[0].message.contains("at most 64 entries"), "{:?}", with(65));
        let text = r#"{"llm": {"providers": [{"name": "a", "type": "vllm", "pool": "Shared",
            "shareName": ["tom", "group:lab", "*"], "declineName": ["ann"]}]}}"#;
        let config = parse(text).unwrap().config;
        let a = config.serving("shared").unwrap();
        assert_eq!((a.share_name.len(), a.decline_name.as_slice()), (3, &["ann".to_owned()][..]));
    }

    #[test]
    fn every_invalid_field_of_a_provider_is_named_at_once() {
        let entry = serde_json::json!({
            "name": "a b", "url": "ftp://x", "maxConcurrency": 0, "model": 7,
            "wake": {"type": "command", "command": " ", "maxWaitSeconds": 0},
            "sleep": {"type": "wol", "mac": "aa:bb:cc:dd:ee:ff", "idleSeconds": 9},
        });
        let errors = check(&entry);
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
        let expected = [
            "name",
            "url",
            "maxConcurrency",
            "wake.maxWaitSeconds",
            "wake.command",
            "sleep.type",
            "model",
        ];
        assert_eq!(fields, expected, "{errors:?}");
        let good = serde_json::json!({"name": "a", "type": "ollama"});
        assert_eq!(check(&good), vec![]);
    }
}
