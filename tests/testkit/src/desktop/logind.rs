//! A double of logind, which programs ask to keep the machine awake.

use parking_lot::Mutex;
use std::io::{ErrorKind, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use zbus::{Connection, interface};

/// The login manager. A lock is held while its holder keeps its end of a socket open.
pub struct Logind {
    locks: Arc<Mutex<Vec<(String, UnixStream)>>>,
    _connection: Connection,
}

struct Manager {
    locks: Arc<Mutex<Vec<(String, UnixStream)>>>,
}

#[interface(name = "org.freedesktop.login1.Manager")]
impl Manager {
    fn inhibit(&self, what: &str, who: &str, _why: &str, mode: &str) -> zbus::zvariant::OwnedFd {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        self.locks.lock().push((format!("{who}: {what}: {mode}"), ours));
        OwnedFd::from(theirs).into()
    }
}

impl Logind {
    /// Starts it on this bus.
    pub async fn start(bus: &str) -> Self {
        let locks = Arc::new(Mutex::new(Vec::new()));
        let manager = Manager { locks: Arc::clone(&locks) };
        let connection = zbus::connection::Builder::address(bus)
            .unwrap()
            .serve_at("/org/freedesktop/login1", manager)
            .unwrap()
            .name("org.freedesktop.login1")
            .unwrap()
            .build()
            .await
            .unwrap();
        Self { locks, _connection: connection }
    }

    /// Waits until exactly these locks are held.
    pub async fn until_held(&self, wanted: &[&str]) {
        crate::until(&format!("exactly these locks are held: {wanted:?}"), async || {
            let mut locks = self.locks.lock();
            locks.retain_mut(|(_, lock)| is_held(lock));
            let held: Vec<&str> = locks.iter().map(|(lock, _)| lock.as_str()).collect();
            (held == wanted).then_some(())
        })
        .await;
    }
}

fn is_held(lock: &mut UnixStream) -> bool {
    matches!(lock.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}
