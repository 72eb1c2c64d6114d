//! Identity of this machine towards mcpd: its random instance id, and the session that it was given.

use crate::home::Home;
use crate::limits::FILE;
use client::private_file;
use client::server_url::origin;
use serde::{Deserialize, Serialize};
use std::io;
use url::Url;
use wire::publisher::Instance;

/// A session and the server that it belongs to: its id must not be sent to another one.
#[derive(Debug, Serialize, Deserialize)]
struct StoredSession {
    origin: String,
    id: String,
}

/// The session of an earlier run with this server. The seed system stored the bare id in this file.
pub(crate) fn session(home: &Home, server: &Url) -> Option<String> {
    let text = String::from_utf8(private_file::read(&home.session(), FILE).ok()?).ok()?;
    match serde_json::from_str::<StoredSession>(&text) {
        Ok(stored) => (stored.origin == origin(server)).then_some(stored.id),
        Err(_) => {
            let id = text.trim();
            let plausible = !id.is_empty() && id.len() <= 128 && id.chars().all(is_id);
            plausible.then(|| id.to_owned())
        }
    }
}

fn is_id(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

/// Stores the session for the next run (mode 0600).
pub(crate) fn store_session(home: &Home, server: &Url, id: &str) -> io::Result<()> {
    let stored = StoredSession { origin: origin(server), id: id.to_owned() };
    private_file::write(&home.session(), &serde_json::to_vec(&stored)?)
}

/// Describes this machine, for conflict detection and for people.
pub(crate) fn instance(home: &Home) -> Instance {
    Instance {
        id: instance_id(home),
        name: gethostname::gethostname().to_string_lossy().into_owned(),
        version: env!("CARGO_PKG_VERSION").into(),
        os: std::env::consts::OS.into(),
    }
}

fn instance_id(home: &Home) -> String {
    let path = home.instance();
    if let Ok(text) = private_file::read(&path, FILE)
        && let Ok(id) = String::from_utf8_lossy(&text).trim().parse::<uuid::Uuid>()
    {
        return id.to_string();
    }
    let id = uuid::Uuid::new_v4().to_string();
    if let Err(error) = private_file::write(&path, id.as_bytes()) {
        tracing::warn!(%error, "the instance id cannot be stored; it changes with the next start");
    }
    id
}

#[cfg(test)]
mod tests {
    use super::{instance, session, store_session};
    use crate::home::Home;
    use url::Url;

    fn home() -> (tempfile::TempDir, Home) {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path()).unwrap();
        (dir, home)
    }

    #[test]
    fn a_session_is_stored_for_its_own_server_and_the_seeds_bare_id_is_read() {
        let (_dir, home) = home();
        let (ours, other) = ("https://a/x".parse::<Url>().unwrap(), "https://b".parse().unwrap());
        store_session(&home, &ours, "s-1").unwrap();
        assert_eq!(session(&home, &ours).as_deref(), Some("s-1"));
        assert_eq!(session(&home, &other), None);
        std::fs::write(home.session(), "bare-1\n").unwrap();
        assert_eq!(session(&home, &other).as_deref(), Some("bare-1"));
        std::fs::write(home.session(), "{\"half").unwrap();
        assert_eq!(session(&home, &ours), None);
    }

    #[test]
    fn the_instance_id_is_random_and_permanent() {
        let (_dir, home) = home();
        let first = instance(&home);
        assert_eq!(instance(&home), first);
        assert_ne!(instance(&self::home().1).id, first.id);
    }

    #[cfg(unix)]
    #[test]
    fn the_session_file_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_dir, home) = home();
        store_session(&home, &"https://a".parse().unwrap(), "s").unwrap();
        let mode = std::fs::metadata(home.session()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
