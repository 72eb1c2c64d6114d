//! mcpd's settings: flags and environment variables, and an optional TOML file that they override.

use crate::http::cors::CorsOrigins;
use crate::limits;
use crate::store::Location;
use crate::tls::CertificateFiles;
use anyhow::{Context as _, bail};
use clap::Args;
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Default address.
const LISTEN: &str = "127.0.0.1:8787";
/// Default data folder.
const DATA_DIR: &str = "mcpd-data";

/// Settings from flags and environment variables.
#[derive(Debug, Clone, Default, Args)]
pub struct Flags {
    /// TOML file with the same settings; flags and environment win over it
    #[arg(long, env = "MCPD_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Folder of the database, created if it is missing [default: ./mcpd-data]
    #[arg(long, env = "MCPD_DATA_DIR", value_name = "DIR", global = true)]
    data_dir: Option<PathBuf>,
    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:8787]
    #[arg(long, env = "MCPD_LISTEN", value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// PEM file of the TLS certificate, followed by those of its issuers; without it mcpd speaks
    /// plain HTTP
    #[arg(long, env = "MCPD_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// PEM file of the certificate's private key
    #[arg(long, env = "MCPD_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Origin whose web pages may call models, such as https://app.example, or * for every one; can
    /// be repeated [default: none]
    #[arg(long, env = "MCPD_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',')]
    cors_origin: Vec<String>,
    /// Create a token with every scope and print it; for trials, on a loopback address only
    #[arg(long)]
    dev: bool,
    /// Memory in MiB for all request bodies together [default: 512]
    #[arg(long, env = "MCPD_BODY_BUDGET", value_name = "MIB")]
    body_budget: Option<usize>,
    /// Memory in MiB for the request bodies of one key [default: a quarter of --body-budget]
    #[arg(long, env = "MCPD_BODY_SHARE", value_name = "MIB")]
    body_share: Option<usize>,
    /// Multiply every time limit, for tests
    #[arg(long, env = "MCPD_TIME_SCALE", hide = true)]
    time_scale: Option<f64>,
}

/// The TOML file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    data_dir: Option<PathBuf>,
    listen: Option<SocketAddr>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    #[serde(default)]
    cors_origin: Vec<String>,
    body_budget: Option<usize>,
    body_share: Option<usize>,
}

/// Settings in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Folder of the database.
    pub data_dir: PathBuf,
    /// Address to listen on.
    pub listen: SocketAddr,
    /// Certificate and key, if mcpd speaks TLS.
    pub tls: Option<CertificateFiles>,
    /// Create a token for trials.
    pub dev: bool,
    /// Settings of the running server.
    pub serving: Serving,
}

/// Settings of a running server.
#[derive(Debug, Clone, PartialEq)]
pub struct Serving {
    /// Factor on every time limit.
    pub time_scale: f64,
    /// Bytes of memory for all request bodies together.
    pub body_budget: usize,
    /// Bytes of memory for the request bodies of one key.
    pub body_share: usize,
    /// Origins whose web pages may call models.
    pub cors_origins: CorsOrigins,
}

impl Default for Serving {
    fn default() -> Self {
        let body_budget = limits::BODY_BUDGET;
        let body_share = body_budget / limits::BODY_SHARE;
        Self { time_scale: 1.0, body_budget, body_share, cors_origins: CorsOrigins::None }
    }
}

impl Flags {
    /// Resolves the settings: flags before the file before defaults.
    ///
    /// # Errors
    /// The file cannot be read or has an unknown key, a number is out of range, only one of the two
    /// TLS files is given, an origin is none, or `--dev` is used on an address that is not loopback.
    pub fn resolve(&self) -> anyhow::Result<Config> {
        let file = match &self.config {
            None => File::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                toml::from_str(&text).with_context(|| format!("in {}", path.display()))?
            }
        };
        let listen = match self.listen.or(file.listen) {
            Some(listen) => listen,
            None => LISTEN.parse().context("the default address")?,
        };
        if self.dev && !listen.ip().is_loopback() {
            bail!("--dev prints a token with every scope; use it on a loopback address only");
        }
        let time_scale = self.time_scale.unwrap_or(1.0);
        if !(time_scale.is_finite() && time_scale > 0.0) {
            bail!("--time-scale must be greater than 0");
        }
        let cors_origins = self.cors_origins(&file)?;
        let serving = Serving { time_scale, cors_origins, ..self.bodies(&file)? };
        let tls = self.certificate_files(&file)?;
        let data_dir = self.data_dir.clone().or(file.data_dir).unwrap_or(DATA_DIR.into());
        Ok(Config { data_dir, listen, tls, dev: self.dev, serving })
    }

    /// Certificate and key, if they are given.
    fn certificate_files(&self, file: &File) -> anyhow::Result<Option<CertificateFiles>> {
        let certificate = self.tls_cert.as_ref().or(file.tls_cert.as_ref());
        let (given, missing) = match (certificate, self.tls_key.as_ref().or(file.tls_key.as_ref()))
        {
            (None, None) => return Ok(None),
            (Some(certificate), Some(key)) => {
                let (certificate, key) = (certificate.clone(), key.clone());
                return Ok(Some(CertificateFiles { certificate, key }));
            }
            (Some(_), None) => ("tls-cert", "tls-key"),
            (None, Some(_)) => ("tls-key", "tls-cert"),
        };
        bail!("{given} is given without {missing}: give both for https, or neither for plain HTTP")
    }

    /// The origins of the flags, or else of the file.
    fn cors_origins(&self, file: &File) -> anyhow::Result<CorsOrigins> {
        let flags = &self.cors_origin;
        let texts = if flags.is_empty() { &file.cors_origin } else { flags };
        CorsOrigins::parse(texts).map_err(|why| anyhow::anyhow!("cors-origin: {why}"))
    }

    /// Default settings with the memory for request bodies.
    fn bodies(&self, file: &File) -> anyhow::Result<Serving> {
        let bytes = |name: &str, mib: Option<usize>, default: usize| match mib {
            None => Ok(default),
            Some(0) => bail!("{name} must be at least 1 MiB"),
            Some(mib) => mib.checked_mul(1 << 20).with_context(|| format!("{name} is too large")),
        };
        let budget = self.body_budget.or(file.body_budget);
        let body_budget = bytes("body-budget", budget, limits::BODY_BUDGET)?;
        let share = self.body_share.or(file.body_share);
        let body_share = bytes("body-share", share, body_budget / limits::BODY_SHARE)?;
        if body_share > body_budget {
            bail!("body-share must not be more than body-budget: it is one key's part of that");
        }
        Ok(Serving { body_budget, body_share, ..Serving::default() })
    }
}

impl Config {
    /// Location of the database.
    #[must_use]
    pub fn database(&self) -> Location {
        Location::in_folder(&self.data_dir)
    }

    /// Creates the data folder (mode 0700) if it is missing.
    ///
    /// # Errors
    /// The folder cannot be created.
    pub fn make_folder(&self) -> anyhow::Result<()> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.data_dir).with_context(|| {
            let folder = self.data_dir.display();
            format!("cannot create the data folder {folder}; give another one with --data-dir")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Flags;

    #[test]
    fn an_unknown_key_in_the_file_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mcpd.toml");
        std::fs::write(&file, "listen = \"127.0.0.1:1\"\nlissten = 2\n").unwrap();
        let flags = Flags { config: Some(file.clone()), ..Flags::default() };
        let why = format!("{:#}", flags.resolve().unwrap_err());
        assert!(why.contains("lissten") && why.contains("mcpd.toml"), "{why}");
        std::fs::write(&file, "listen = \"127.0.0.1:1\"\n").unwrap();
        assert_eq!(flags.resolve().unwrap().listen.port(), 1);
        let flags = Flags { listen: "127.0.0.1:2".parse().ok(), ..flags };
        assert_eq!(flags.resolve().unwrap().listen.port(), 2, "a flag wins");
    }

    #[test]
    fn one_key_may_hold_a_quarter_of_the_body_budget_by_default() {
        let mib = |flags: &Flags| {
            let serving = flags.resolve().unwrap().serving;
            (serving.body_budget >> 20, serving.body_share >> 20)
        };
        assert_eq!(mib(&Flags::default()), (512, 128));
        let flags = Flags { body_budget: Some(64), ..Flags::default() };
        assert_eq!(mib(&flags), (64, 16));
        let flags = Flags { body_share: Some(32), ..flags };
        assert_eq!(mib(&flags), (64, 32));
        for (budget, share) in [(0, 1), (64, 0), (64, 65), (usize::MAX, 1)] {
            let flags =
                Flags { body_budget: Some(budget), body_share: Some(share), ..Flags::default() };
            assert!(format!("{:#}", flags.resolve().unwrap_err()).contains("body-"));
        }
    }

    #[test]
    fn a_certificate_and_its_key_are_given_together() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mcpd.toml");
        std::fs::write(&file, "tls_key = \"key.pem\"\n").unwrap();
        let flags = Flags { config: Some(file), ..Flags::default() };
        let refused = flags.resolve().unwrap_err().to_string();
        assert!(refused.starts_with("tls-key is given without tls-cert"), "{refused}");
        let flags = Flags { tls_cert: Some("cert.pem".into()), ..flags };
        let tls = flags.resolve().unwrap().tls.unwrap();
        assert_eq!((tls.certificate, tls.key), ("cert.pem".into(), "key.pem".into()));
        let flags = Flags { config: None, ..flags };
        let refused = flags.resolve().unwrap_err().to_string();
        assert!(refused.starts_with("tls-cert is given without tls-key"), "{refused}");
    }

    #[test]
    fn dev_mode_is_refused_off_loopback() {
        let flags = Flags { dev: true, listen: "0.0.0.0:1".parse().ok(), ..Flags::default() };
        assert!(flags.resolve().unwrap_err().to_string().contains("loopback"));
    }
}
