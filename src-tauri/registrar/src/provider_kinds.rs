//! The kinds of backends, and every fact in which they differ. A new kind is one entry of [`KINDS`].

use serde::Serialize;
use std::fmt;

/// Everything that differs between kinds of backends.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "bindings", derive(ts_rs::TS))]
pub struct KindInfo {
    /// `type` in config.json and in the catalogue.
    pub id: &'static str,
    /// Other spellings of `type` that config.json may have.
    #[serde(skip)]
    pub aliases: &'static [&'static str],
    /// Name for people.
    pub label: &'static str,
    /// URL of a backend that has none in config.json. `None`: the entry must have one.
    pub default_url: Option<&'static str>,
    /// Port of this machine at which discovery looks for it.
    pub discovery_port: Option<u16>,
    /// Endpoint that answers 2xx once the model can be used. An open port is not enough: llama.cpp
    /// answers 503 while it loads.
    #[serde(skip)]
    pub readiness_path: &'static str,
    /// Endpoint with the list of models, in the OpenAI format.
    #[serde(skip)]
    pub models_path: &'static str,
}

/// Every kind that can be published, in the order in which a form offers them.
pub static KINDS: &[KindInfo] = &[
    KindInfo {
        id: "llamacpp",
        aliases: &["llama.cpp"],
        label: "llama.cpp",
        default_url: Some("http://127.0.0.1:8080"),
        discovery_port: Some(8080),
        readiness_path: "/health",
        models_path: MODELS,
    },
    KindInfo {
        id: "ollama",
        aliases: &[],
        label: "Ollama",
        default_url: Some("http://127.0.0.1:11434"),
        discovery_port: Some(11434),
        readiness_path: "/api/tags",
        models_path: MODELS,
    },
    KindInfo {
        id: "vllm",
        aliases: &[],
        label: "vLLM",
        default_url: Some("http://127.0.0.1:8000/v1"),
        discovery_port: Some(8000),
        readiness_path: "/health",
        models_path: MODELS,
    },
    KindInfo {
        id: "lmstudio",
        aliases: &[],
        label: "LM Studio",
        default_url: Some("http://127.0.0.1:1234/v1"),
        discovery_port: Some(1234),
        readiness_path: MODELS,
        models_path: MODELS,
    },
    OPENAI,
];

/// Any other server with the OpenAI API; also the kind of an entry without `type`.
const OPENAI: KindInfo = KindInfo {
    id: "openai",
    aliases: &[],
    label: "Other, OpenAI-compatible",
    default_url: None,
    discovery_port: None,
    readiness_path: MODELS,
    models_path: MODELS,
};
const MODELS: &str = "/v1/models";

/// A provider's kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProviderKind {
    /// One of [`KINDS`].
    Known(&'static KindInfo),
    /// A kind that this version cannot publish.
    Unknown(String),
}

impl ProviderKind {
    /// Reads `type` of an entry in config.json.
    #[must_use]
    pub fn from_config(text: Option<&str>) -> Self {
        let id = text.unwrap_or(OPENAI.id);
        let known = KINDS.iter().find(|kind| kind.id == id || kind.aliases.contains(&id));
        known.map_or_else(|| Self::Unknown(id.to_owned()), Self::Known)
    }

    /// The facts of the kind; `None` if this version cannot publish it.
    #[must_use]
    pub fn info(&self) -> Option<&'static KindInfo> {
        match self {
            Self::Known(info) => Some(info),
            Self::Unknown(_) => None,
        }
    }

    /// `type` in config.json.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(info) => info.id,
            Self::Unknown(text) => text,
        }
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{KINDS, ProviderKind};

    #[test]
    fn each_kind_is_found_by_its_id_and_its_other_spellings() {
        for kind in KINDS {
            for id in std::iter::once(&kind.id).chain(kind.aliases) {
                assert_eq!(ProviderKind::from_config(Some(id)), ProviderKind::Known(kind));
            }
        }
        assert_eq!(ProviderKind::from_config(None).as_str(), "openai");
        assert_eq!(ProviderKind::from_config(Some("x")), ProviderKind::Unknown("x".into()));
    }

    #[test]
    fn discovery_asks_the_port_of_the_default_url() {
        for kind in KINDS {
            let url = kind.default_url.map(|url| url.parse::<url::Url>().unwrap());
            assert_eq!(url.and_then(|url| url.port()), kind.discovery_port, "{}", kind.id);
        }
    }
}
