//! Checks everything that publishing depends on, and names a remedy for each finding.

#[cfg(unix)]
mod permissions;

use crate::config::{self, Config, ProviderConfig};
use crate::credentials::{self, CredentialsError, TokenSource};
use crate::home::Home;
use crate::http_clients::backend_client;
use crate::provider::{self, Unavailable};
use crate::status::file as status_file;
use crate::{file_lock, mcpd_client};
use client::server_url;
use keychain::{Keychain, KeychainError};
use serde::Serialize;

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "bindings", derive(ts_rs::TS))]
pub struct Finding {
    /// Subject of the check.
    pub about: String,
    /// Severity.
    pub verdict: Verdict,
    /// The finding.
    pub found: String,
    /// The remedy, if one is needed.
    pub fix: Option<String>,
}

/// Severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "bindings", derive(ts_rs::TS))]
pub enum Verdict {
    /// No problem.
    Good,
    /// Worth knowing.
    Notice,
    /// Publishing does not work.
    Broken,
}

fn good(about: &str, found: impl Into<String>) -> Finding {
    Finding { about: about.into(), verdict: Verdict::Good, found: found.into(), fix: None }
}

fn bad(verdict: Verdict, about: &str, found: impl Into<String>, fix: impl Into<String>) -> Finding {
    Finding { about: about.into(), verdict, found: found.into(), fix: Some(fix.into()) }
}

/// Runs all checks, each before those that depend on it.
pub async fn examine(home: &Home, keychain: &Keychain) -> Vec<Finding> {
    let mut findings = Vec::new();
    let config = configuration(home, &mut findings);
    #[cfg(unix)]
    findings.extend(permissions::findings(home));
    findings.push(publishing(home));
    findings.push(keyring(keychain).await);
    findings.extend(server(home, &config, keychain).await);
    findings.extend(backends(&config).await);
    #[cfg(target_os = "linux")]
    findings.extend(file_watches());
    findings
}

fn configuration(home: &Home, findings: &mut Vec<Finding>) -> Config {
    let about = "config.json";
    let place = home.config().display().to_string();
    let parsed = match config::file::read(&home.config()) {
        Ok(text) => config::parse(&text),
        Err(error) => {
            let fix = format!("make {place} readable, UTF-8, and smaller than 8 MiB");
            findings.push(bad(Verdict::Broken, about, error.to_string(), fix));
            return Config::default();
        }
    };
    match parsed {
        Err(problem) => {
            let fix =
                format!("mend {place}; config.json.bak beside it is the last one we replaced");
            findings.push(bad(Verdict::Broken, about, problem.to_string(), fix));
            Config::default()
        }
        Ok(parsed) => {
            let published = parsed.config.published().count();
            let all = parsed.config.providers.len();
            let found = format!("{place}: providers: {all}, to be published: {published}");
            findings.push(if published > 0 {
                good(about, found)
            } else {
                let fix = if all == 0 {
                    format!("add a provider to llm.providers in {place}")
                } else {
                    "switch one on: `mcplocal-agent publish NAME`".to_owned()
                };
                bad(Verdict::Notice, about, found, fix)
            });
            findings.extend(parsed.warnings.iter().map(|warning| {
                bad(Verdict::Broken, about, warning.to_string(), format!("mend it in {place}"))
            }));
            parsed.config
        }
    }
}

fn publishing(home: &Home) -> Finding {
    let about = "publishing";
    match file_lock::try_acquire(home) {
        Ok(None) => match status_file::read(home) {
            Some(status) => good(about, format!("by {}, process {}", status.program, status.pid)),
            None => {
                let fix = "if it was started a moment ago, look again";
                bad(Verdict::Broken, about, file_lock::held_by_unknown(home), fix)
            }
        },
        Ok(Some(_)) => bad(
            Verdict::Notice,
            about,
            "nothing publishes from this folder now",
            "start the tray, or `mcplocal-agent run`, or `mcplocal-agent install`",
        ),
        Err(error) => {
            let fix = format!("make {} writable", home.dir().display());
            bad(Verdict::Broken, about, error.to_string(), fix)
        }
    }
}

async fn keyring(keychain: &Keychain) -> Finding {
    let about = "keychain";
    let fix = match keychain.get(credentials::SERVICE, "doctor").await {
        Ok(_) => return good(about, "it answers"),
        Err(KeychainError::Locked | KeychainError::Timeout) => "unlock it".to_owned(),
        Err(KeychainError::Unavailable(_)) => {
            "on a machine without one, set MCPCTL_TOKEN_FILE or sign in with --insecure-storage"
                .to_owned()
        }
        Err(KeychainError::Refused(why)) => format!("it said: {why}"),
    };
    bad(Verdict::Notice, about, "it cannot be used now", fix)
}

async fn server(home: &Home, config: &Config, keychain: &Keychain) -> Vec<Finding> {
    let sign_in = "sign in: `mcplocal-agent login --url URL`";
    let loaded = credentials::load(home, config.mcpd_url.as_ref(), keychain).await;
    let credentials = match loaded {
        Ok(credentials) => credentials,
        Err(error) => {
            let fix = match error {
                CredentialsError::Locked => "unlock the keyring",
                CredentialsError::File(..) => "mend or remove that file, then sign in again",
                CredentialsError::NoServer
                | CredentialsError::NoToken(_)
                | CredentialsError::Keychain(_) => sign_in,
            };
            return vec![bad(Verdict::Broken, "token", error.to_string(), fix)];
        }
    };
    let source = format!("from {}", credentials.source.as_str());
    let token = match credentials.source {
        TokenSource::File => bad(
            Verdict::Notice,
            "token",
            format!("{source}: every program of yours can read it"),
            "where there is a keychain, sign in again without --insecure-storage",
        ),
        TokenSource::Environment | TokenSource::Systemd | TokenSource::Keychain => {
            good("token", source)
        }
    };
    let origin = server_url::origin(&credentials.url);
    let reached = match mcpd_client::check_access(credentials).await {
        Ok(()) => good("server", format!("{origin} answers and takes the token")),
        Err(why) => {
            let fix = "check the URL, the network, proxy variables, and MCPCTL_CA_FILE for a \
                       private CA; if the token was refused, sign in again";
            bad(Verdict::Broken, "server", format!("{origin}: {why}"), fix)
        }
    };
    vec![token, reached]
}

async fn backends(config: &Config) -> Vec<Finding> {
    let Ok(http) = backend_client() else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for published in config.published() {
        findings.push(backend(&http, published).await);
    }
    findings
}

async fn backend(http: &reqwest::Client, published: &ProviderConfig) -> Finding {
    let about = format!("backend {}", published.name);
    match provider::probe(http, published).await {
        Ok(()) => good(&about, format!("{} answers", published.url)),
        Err(Unavailable::NotReady(why)) if published.wake.is_some() => {
            good(&about, format!("asleep ({why}); it has a wake recipe"))
        }
        Err(why) => {
            let fix = "start it, correct its url, or give it a wake recipe";
            bad(Verdict::Broken, &about, format!("{}: {why}", published.url), fix)
        }
    }
}

/// With too few watches, changes of the file are noticed by polling only, a second later.
#[cfg(target_os = "linux")]
fn file_watches() -> Option<Finding> {
    const FEW: u64 = 128;
    let text = std::fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").ok()?;
    let most: u64 = text.trim().parse().ok()?;
    (most < FEW).then(|| {
        let fix = "raise it: sysctl fs.inotify.max_user_instances=512";
        bad(Verdict::Notice, "file watches", format!("at most {most} per person"), fix)
    })
}
