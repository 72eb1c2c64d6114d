//! From the file's text to [`Config`]: tolerant of comments and trailing commas, strict about types.
//!
//! A provider that cannot be used is left out with a warning, and the others work. Only a text that
//! is no JSON object at all is a [`Problem`].

use super::name_sharing::{self, DECLINE, SHARE};
use super::{Parsed, Problem, ProviderConfig, ProviderKind, Recipe, Sleep, Wake, Wrong};
use jsonc_parser::ParseOptions;
use serde_json::{Map, Value};
use std::time::Duration;
use url::Url;
use wire::limits::{SHARES, WAKE_MAX_WAIT_CAP_SECS, WAKE_MAX_WAIT_SECS};

/// The text as plain JSON. An empty one is an empty object.
///
/// # Errors
/// [`Problem`], with line and column.
pub fn value(text: &str) -> Result<Value, Problem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    jsonc_parser::parse_to_serde_value(text, &options()).map_err(|error| Problem {
        message: format!(
            "config.json is not valid JSON: {} (line {}, column {}). \
             The last good version stays in force.",
            error.kind(),
            error.line_display(),
            error.column_display()
        ),
        line: Some(error.line_display()),
        column: Some(error.column_display()),
    })
}

/// Reads a text. An empty one is an empty configuration.
///
/// # Errors
/// [`Problem`], with line and column where it has a place.
pub fn parse(text: &str) -> Result<Parsed, Problem> {
    let Value::Object(root) = value(text)? else {
        return Err(Problem::new("config.json must be an object, as {\"mcpdUrl\": …}"));
    };
    let mut parsed = Parsed::default();
    parsed.config.mcpd_url = match root.get("mcpdUrl") {
        None | Some(Value::Null) => None,
        Some(value) => Some(server_url(value)?),
    };
    let empty = Vec::new();
    let providers = match root.get("llm").map(|llm| llm.get("providers")) {
        None | Some(None | Some(Value::Null)) => &empty,
        Some(Some(Value::Array(list))) => list,
        Some(Some(_)) => return Err(Problem::new("llm.providers must be a list")),
    };
    for (at, entry) in providers.iter().enumerate() {
        match provider(entry) {
            Ok(found) if parsed.config.provider(&found.name).is_some() => {
                let why = format!("the name {} stands twice; the first one counts", found.name);
                parsed.warnings.push(Problem::new(why));
            }
            Ok(found) => parsed.config.providers.push(found),
            Err(wrong) => {
                let name = entry.get("name").and_then(Value::as_str).map(str::to_owned);
                let name = name.unwrap_or_else(|| format!("number {}", at + 1));
                let why = sentence(&wrong);
                parsed.warnings.push(Problem::new(format!("provider {name} is left out: {why}")));
            }
        }
    }
    parsed.config.settings = super::settings::settings(&root, &mut parsed.warnings);
    Ok(parsed)
}

fn sentence(wrong: &[Wrong]) -> String {
    let each = wrong.iter().map(|wrong| match wrong.field.as_str() {
        "" => wrong.message.clone(),
        field => format!("{field}: {}", wrong.message),
    });
    each.collect::<Vec<_>>().join("; ")
}

/// What the file may use beyond JSON.
pub(super) fn options() -> ParseOptions {
    ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    }
}

fn server_url(value: &Value) -> Result<Url, Problem> {
    let text = value.as_str().ok_or_else(|| Problem::new("mcpdUrl must be a text"))?;
    client::server_url::parse(text).map_err(|why| Problem::new(format!("mcpdUrl: {why}")))
}

/// What is wrong with a provider's entry, every field of it; nothing when it can be published.
#[must_use]
pub fn check(entry: &Value) -> Vec<Wrong> {
    provider(entry).err().unwrap_or_default()
}

fn provider(entry: &Value) -> Result<ProviderConfig, Vec<Wrong>> {
    let Value::Object(map) = entry else {
        return Err(vec![Wrong::new("", "it must be an object")]);
    };
    let mut fields = Fields { map, wrong: Vec::new() };
    let name = fields.text("name").unwrap_or_default();
    let name = match wire::names::normalise(&name) {
        _ if name.is_empty() => fields.refuse("name", "name is missing"),
        Ok(name) => Some(name),
        Err(why) => fields.refuse("name", why),
    };
    let kind = kind_of(fields.text("type").as_deref());
    let url = fields.url(&kind);
    let max_concurrency = match u32::try_from(fields.whole("maxConcurrency").unwrap_or(1)) {
        Ok(at_once @ 1..=1024) => Some(at_once),
        Ok(_) | Err(_) => fields.refuse("maxConcurrency", "it must be between 1 and 1024"),
    };
    let (wake, sleep) = (fields.block("wake", wake), fields.block("sleep", sleep));
    let (model, tier) = (fields.text("model"), fields.text("tier"));
    let (description, pool) = (fields.text("description"), fields.text("pool"));
    let (publish, context_length) = (fields.truth("publish"), fields.whole("contextLength"));
    let api_key_env = fields.text("apiKeyEnv");
    let share_name = fields.entries(SHARE, name_sharing::check_share);
    let decline_name = fields.entries(DECLINE, name_sharing::check_user);
    match (name, url, max_concurrency) {
        (Some(name), Some(url), Some(max_concurrency)) if fields.wrong.is_empty() => {
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
        _ => Err(fields.wrong),
    }
}

/// An object whose fields are read one by one; what is wrong is gathered.
struct Fields<'a> {
    map: &'a Map<String, Value>,
    wrong: Vec<Wrong>,
}

impl Fields<'_> {
    fn refuse<T>(&mut self, field: &str, message: impl Into<String>) -> Option<T> {
        self.wrong.push(Wrong::new(field, message));
        None
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn text(&mut self, key: &str) -> Option<String> {
        let text = self.value(key)?.as_str().map(str::to_owned);
        text.or_else(|| self.refuse(key, "it must be a text"))
    }

    fn truth(&mut self, key: &str) -> Option<bool> {
        let truth = self.value(key)?.as_bool();
        truth.or_else(|| self.refuse(key, "it must be true or false"))
    }

    fn whole(&mut self, key: &str) -> Option<u64> {
        let number = self.value(key)?.as_u64();
        number.or_else(|| self.refuse(key, "it must be a whole number"))
    }

    /// A list of texts, each of them checked.
    fn entries(&mut self, key: &str, check: fn(&str) -> Result<(), String>) -> Vec<String> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let listed: Option<Vec<&str>> =
            value.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
        let wrong = match &listed {
            None => Some("it must be a list of texts, as [\"tom\"]".to_owned()),
            Some(list) if list.len() > SHARES => {
                Some(format!("it has at most {SHARES} entries, this one has {}", list.len()))
            }
            Some(list) => list.iter().find_map(|entry| check(entry).err()),
        };
        let listed = listed.unwrap_or_default().into_iter().map(str::to_owned).collect();
        match wrong {
            Some(why) => self.refuse(key, why).unwrap_or_default(),
            None => listed,
        }
    }

    fn url(&mut self, kind: &ProviderKind) -> Option<Url> {
        let url = match (self.text("url"), default_url(kind)) {
            (Some(text), _) => backend_url(&text),
            (None, Some(default)) => Url::parse(default).map_err(|e| e.to_string()),
            (None, None) => Err(format!("url is missing; type {} needs it", kind.as_str())),
        };
        url.map_err(|why| self.refuse::<()>("url", why)).ok()
    }

    /// An object inside of this one; its fields are told as `key.field`.
    fn block<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&Value, &mut Fields<'_>) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.value(key)?;
        let Some(map) = value.as_object() else {
            return self.refuse(key, "it must be an object");
        };
        let mut inner = Fields { map, wrong: Vec::new() };
        let read = read(value, &mut inner);
        let wrong = inner.wrong;
        let clean = wrong.is_empty();
        self.wrong.extend(
            wrong
                .into_iter()
                .map(|wrong| Wrong { field: format!("{key}.{}", wrong.field), ..wrong }),
        );
        match read {
            Ok(block) => Some(block),
            Err(why) if clean => self.refuse(key, why),
            Err(_) => None,
        }
    }
}

fn kind_of(text: Option<&str>) -> ProviderKind {
    match text {
        None | Some("openai") => ProviderKind::OpenAi,
        Some("ollama") => ProviderKind::Ollama,
        Some("llamacpp" | "llama.cpp") => ProviderKind::LlamaCpp,
        Some("vllm") => ProviderKind::Vllm,
        Some("lmstudio") => ProviderKind::LmStudio,
        Some(other) => ProviderKind::Other(other.to_owned()),
    }
}

fn default_url(kind: &ProviderKind) -> Option<&'static str> {
    match kind {
        ProviderKind::Ollama => Some("http://127.0.0.1:11434"),
        ProviderKind::LlamaCpp => Some("http://127.0.0.1:8080"),
        ProviderKind::Vllm => Some("http://127.0.0.1:8000/v1"),
        ProviderKind::LmStudio => Some("http://127.0.0.1:1234/v1"),
        ProviderKind::OpenAi => None,
        // Not ours to serve, but it must not be reported as broken.
        ProviderKind::Other(_) => Some("http://127.0.0.1"),
    }
}

fn backend_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text)
        .map_err(|_| format!("{text:?} is no whole address: type it as http://127.0.0.1:8080"))?;
    if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
        return Err(format!("{text:?} must start with http:// or https://"));
    }
    Ok(url)
}

fn wake(value: &Value, fields: &mut Fields<'_>) -> Result<Wake, String> {
    let secs = fields.whole("maxWaitSeconds").unwrap_or(WAKE_MAX_WAIT_SECS);
    if !(1..=WAKE_MAX_WAIT_CAP_SECS).contains(&secs) {
        let message = format!("it must be between 1 and {WAKE_MAX_WAIT_CAP_SECS}");
        fields.refuse::<()>("maxWaitSeconds", message);
    }
    Ok(Wake { recipe: recipe(value, fields)?, max_wait: Duration::from_secs(secs) })
}

fn sleep(value: &Value, fields: &mut Fields<'_>) -> Result<Sleep, String> {
    let idle = fields.whole("idleSeconds").unwrap_or_default();
    if idle == 0 {
        fields.refuse::<()>("idleSeconds", "it must be at least 1");
    }
    let recipe = recipe(value, fields)?;
    if matches!(recipe, Recipe::Wol(_)) {
        let message = "a magic packet cannot put a machine to sleep; use http or command";
        fields.refuse::<()>("type", message);
    }
    Ok(Sleep { recipe, idle: Duration::from_secs(idle) })
}

fn recipe(value: &Value, fields: &mut Fields<'_>) -> Result<Recipe, String> {
    match fields.text("type").as_deref() {
        Some("http") => {
            let url = fields.text("url").unwrap_or_default();
            if let Err(why) = backend_url(&url) {
                fields.refuse::<()>("url", why);
            }
        }
        Some("command") => {
            if fields.text("command").is_none_or(|command| command.trim().is_empty()) {
                fields.refuse::<()>("command", "it must name a program");
            }
        }
        Some("wol") => {
            let mac = fields.text("mac").unwrap_or_default();
            if let Err(why) = super::mac_address::parse(&mac) {
                fields.refuse::<()>("mac", why);
            }
        }
        Some(_) | None => {
            fields.refuse::<()>("type", "it must be http, command or wol");
        }
    }
    serde_json::from_value(value.clone()).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::parse;
    use crate::config::{ProviderKind, Recipe};

    #[test]
    fn the_documented_example_is_read_as_it_is_meant() {
        let parsed = parse(
            r#"{ "mcpdUrl": "https://mcpd.example.com", // ours
               "other": {"x": 12345678901234567890123},
               "llm": { "providers": [
                 { "name": "Qwen3-8B", "url": "http://127.0.0.1:8080/v1", "model": "q4",
                   "publish": true, "maxConcurrency": 2,
                   "wake": { "type": "command", "command": "systemctl", "args": ["start", "x"] },
                   "sleep": { "type": "http", "url": "http://127.0.0.1/s", "idleSeconds": 900 }, },
                 { "name": "big", "type": "ollama" } ] } }"#,
        )
        .unwrap();
        assert_eq!(parsed.warnings, vec![]);
        let qwen = parsed.config.provider("qwen3-8b").unwrap();
        assert!(qwen.publish && qwen.kind == ProviderKind::OpenAi && qwen.max_concurrency == 2);
        let wake = qwen.wake.as_ref().unwrap();
        assert!(matches!(&wake.recipe, Recipe::Command(c) if c.args == ["start", "x"]));
        assert_eq!(
            (wake.max_wait.as_secs(), qwen.sleep.as_ref().unwrap().idle.as_secs()),
            (60, 900)
        );
        let big = parsed.config.provider("BIG").unwrap();
        assert!(!big.publish && big.url.as_str() == "http://127.0.0.1:11434/");
    }

    #[test]
    fn a_broken_text_says_line_and_column() {
        let problem = parse("{\n  \"llm\": {,}\n}").unwrap_err();
        assert_eq!(problem.line, Some(2), "{problem:?}");
        assert!(problem.column.is_some() && problem.message.contains("line 2"));
    }

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
            super::check(&entry)
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
    fn every_wrong_field_of_a_provider_is_named_at_once() {
        let entry = serde_json::json!({
            "name": "a b", "url": "ftp://x", "maxConcurrency": 0, "model": 7,
            "wake": {"type": "command", "command": " ", "maxWaitSeconds": 0},
            "sleep": {"type": "wol", "mac": "aa:bb:cc:dd:ee:ff", "idleSeconds": 9},
        });
        let wrong = super::check(&entry);
        let fields: Vec<_> = wrong.iter().map(|w| w.field.as_str()).collect();
        let expected = [
            "name",
            "url",
            "maxConcurrency",
            "wake.maxWaitSeconds",
            "wake.command",
            "sleep.type",
            "model",
        ];
        assert_eq!(fields, expected, "{wrong:?}");
        let good = serde_json::json!({"name": "a", "type": "ollama"});
        assert_eq!(super::check(&good), vec![]);
    }

    #[test]
    fn an_address_that_is_not_whole_is_told_with_an_example_and_no_words_of_a_parser() {
        for (text, example) in [
            (r#"{"mcpdUrl": "h"}"#, "type it as https://mcpd.example.com"),
            (r#"{"mcpdUrl": "mcpd:8080"}"#, "type it as https://mcpd.example.com"),
            (
                r#"{"llm": {"providers": [{"name": "a", "url": "h"}]}}"#,
                "type it as http://127.0.0.1:8080",
            ),
        ] {
            let said = match parse(text) {
                Err(problem) => problem.message,
                Ok(parsed) => parsed.warnings[0].message.clone(),
            };
            assert!(said.contains(example) && !said.contains("base"), "{said}");
        }
    }

    #[test]
    fn a_server_off_loopback_must_be_https() {
        assert!(
            parse(r#"{"mcpdUrl": "http://mcpd.example.com"}"#)
                .unwrap_err()
                .message
                .contains("https")
        );
        for good in ["http://127.0.0.1:1", "http://localhost:1", "http://[::1]:1", "https://x"] {
            assert!(parse(&format!(r#"{{"mcpdUrl": "{good}"}}"#)).is_ok(), "{good}");
        }
    }
}
