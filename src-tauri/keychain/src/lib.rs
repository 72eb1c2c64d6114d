//! The OS keychain behind a deadline.
//!
//! The OS's calls block, for ever if a locked keyring shows a prompt, and panic inside an async
//! runtime on some systems. A dedicated thread makes them one at a time, and each caller waits at
//! most [`DEADLINE`]. A store that cannot be opened is opened again at the next call.
//!
//! Not here: the names under which secrets are stored.

use secrecy::{ExposeSecret as _, SecretString};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use tokio::sync::oneshot;

/// Longest time that a caller waits.
pub const DEADLINE: Duration = Duration::from_secs(3);
/// Calls that can wait for the thread.
const QUEUE: usize = 8;
/// Environment variable that turns the keychain off, for servers and tests.
const SWITCH: &str = "MCPCTL_KEYCHAIN";

/// Why a secret could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeychainError {
    /// The keyring must be unlocked first.
    #[error("the keyring is locked; unlock it and try again")]
    Locked,
    /// This machine or session has no keychain; the cause.
    #[error("this session has no keychain: {0}")]
    Unavailable(String),
    /// No response within [`DEADLINE`]; often a prompt is open.
    #[error("the keychain did not respond within {} s; is a password prompt open?", DEADLINE.as_secs())]
    Timeout,
    /// The keychain reported an error; the cause.
    #[error("the keychain refused: {0}")]
    Refused(String),
}

/// A blocking store of secrets: the OS's, or a test double.
pub trait Store: Send + 'static {
    /// Returns the secret, if there is one.
    ///
    /// # Errors
    /// The store is locked, missing or fails.
    fn get(&mut self, service: &str, user: &str) -> Result<Option<String>, KeychainError>;
    /// Stores a secret.
    ///
    /// # Errors
    /// The store is locked, missing or fails.
    fn set(&mut self, service: &str, user: &str, secret: &str) -> Result<(), KeychainError>;
    /// Deletes a secret; succeeds if there is none.
    ///
    /// # Errors
    /// The store is locked, missing or fails.
    fn delete(&mut self, service: &str, user: &str) -> Result<(), KeychainError>;
}

enum Call {
    Get(oneshot::Sender<Result<Option<SecretString>, KeychainError>>),
    Set(SecretString, oneshot::Sender<Result<(), KeychainError>>),
    Delete(oneshot::Sender<Result<(), KeychainError>>),
}

struct Request {
    service: String,
    user: String,
    call: Call,
}

/// Handle of the keychain's thread. Cheap to clone.
#[derive(Clone)]
pub struct Keychain {
    requests: Option<SyncSender<Request>>,
    deadline: Duration,
}

impl Keychain {
    /// Opens the OS's keychain, or none if `MCPCTL_KEYCHAIN=off`.
    #[must_use]
    pub fn os() -> Self {
        if std::env::var_os(SWITCH).is_some_and(|value| value == "off") {
            return Self::none();
        }
        Self::with_store(Box::new(OsStore::default()), DEADLINE)
    }

    /// Returns a keychain that is never available.
    #[must_use]
    pub fn none() -> Self {
        Self { requests: None, deadline: DEADLINE }
    }

    /// Starts a keychain on this store.
    #[must_use]
    pub fn with_store(store: Box<dyn Store>, deadline: Duration) -> Self {
        let (sender, receiver) = sync_channel(QUEUE);
        // Never joined: a hanging call must not delay the end of the process.
        let thread = std::thread::Builder::new().name("keychain".into());
        let started = thread.spawn(move || serve(&receiver, store));
        Self { requests: started.is_ok().then_some(sender), deadline }
    }

    /// Returns the secret, if there is one.
    ///
    /// # Errors
    /// The keychain is locked, unavailable, too slow or fails.
    pub async fn get(
        &self,
        service: &str,
        user: &str,
    ) -> Result<Option<SecretString>, KeychainError> {
        let (sender, receiver) = oneshot::channel();
        self.call(service, user, Call::Get(sender), receiver).await
    }

    /// Stores a secret.
    ///
    /// # Errors
    /// The keychain is locked, unavailable, too slow or fails.
    pub async fn set(
        &self,
        service: &str,
        user: &str,
        secret: SecretString,
    ) -> Result<(), KeychainError> {
        let (sender, receiver) = oneshot::channel();
        self.call(service, user, Call::Set(secret, sender), receiver).await
    }

    /// Deletes a secret; succeeds if there is none.
    ///
    /// # Errors
    /// The keychain is locked, unavailable, too slow or fails.
    pub async fn delete(&self, service: &str, user: &str) -> Result<(), KeychainError> {
        let (sender, receiver) = oneshot::channel();
        self.call(service, user, Call::Delete(sender), receiver).await
    }

    async fn call<T>(
        &self,
        service: &str,
        user: &str,
        call: Call,
        reply: oneshot::Receiver<Result<T, KeychainError>>,
    ) -> Result<T, KeychainError> {
        let Some(requests) = &self.requests else {
            return Err(KeychainError::Unavailable(format!("{SWITCH}=off")));
        };
        let request = Request { service: service.into(), user: user.into(), call };
        // The queue is full only if an earlier call hangs.
        requests.try_send(request).map_err(|_| KeychainError::Timeout)?;
        match tokio::time::timeout(self.deadline, reply).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(KeychainError::Refused("its thread has ended".into())),
            Err(_) => Err(KeychainError::Timeout),
        }
    }
}

fn serve(requests: &Receiver<Request>, mut store: Box<dyn Store>) {
    while let Ok(Request { service, user, call }) = requests.recv() {
        match call {
            Call::Get(reply) => {
                let found = store.get(&service, &user);
                let _ = reply.send(found.map(|secret| secret.map(SecretString::from)));
            }
            Call::Set(secret, reply) => {
                let _ = reply.send(store.set(&service, &user, secret.expose_secret()));
            }
            Call::Delete(reply) => {
                let _ = reply.send(store.delete(&service, &user));
            }
        }
    }
}

/// The OS's store, opened at the first call and again after a failure.
#[derive(Default)]
struct OsStore {
    open: Option<Arc<keyring_core::CredentialStore>>,
}

impl OsStore {
    fn entry(&mut self, service: &str, user: &str) -> Result<keyring_core::Entry, KeychainError> {
        let store = match &self.open {
            Some(store) => Arc::clone(store),
            None => self.open.insert(open()?).clone(),
        };
        store.build(service, user, None).map_err(|e| self.failed(&e))
    }

    fn failed(&mut self, error: &keyring_core::Error) -> KeychainError {
        self.open = None;
        convert(error)
    }
}

impl Store for OsStore {
    fn get(&mut self, service: &str, user: &str) -> Result<Option<String>, KeychainError> {
        match self.entry(service, user)?.get_password() {
            Ok(secret) => Ok(Some(secret)),
            Err(keyring_core::Error::NoEntry) => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    fn set(&mut self, service: &str, user: &str, secret: &str) -> Result<(), KeychainError> {
        self.entry(service, user)?.set_password(secret).map_err(|e| self.failed(&e))
    }

    fn delete(&mut self, service: &str, user: &str) -> Result<(), KeychainError> {
        match self.entry(service, user)?.delete_credential() {
            Ok(()) | Err(keyring_core::Error::NoEntry) => Ok(()),
            Err(error) => Err(self.failed(&error)),
        }
    }
}

#[cfg(target_os = "linux")]
fn open() -> Result<Arc<keyring_core::CredentialStore>, KeychainError> {
    let store = zbus_secret_service_keyring_store::Store::new();
    store.map(|s| s as Arc<_>).map_err(|e| KeychainError::Unavailable(e.to_string()))
}

#[cfg(not(target_os = "linux"))]
fn open() -> Result<Arc<keyring_core::CredentialStore>, KeychainError> {
    // Creating an entry installs the platform's store as the default.
    keyring::Entry::new("dev.mcpctl", "probe").map_err(|e| convert(&e))?;
    keyring_core::get_default_store()
        .ok_or_else(|| KeychainError::Unavailable("the platform has no store".into()))
}

/// Converts an error without the payloads that could hold a secret.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library's enum is non-exhaustive")]
fn convert(error: &keyring_core::Error) -> KeychainError {
    use keyring_core::Error;
    match error {
        Error::NoStorageAccess(_) => KeychainError::Locked,
        Error::NoDefaultStore => KeychainError::Unavailable("it cannot be reached".into()),
        Error::PlatformFailure(cause) => KeychainError::Refused(cause.to_string()),
        Error::TooLong(what, most) => {
            KeychainError::Refused(format!("{what} has over {most} bytes"))
        }
        Error::BadEncoding(_) | Error::BadDataFormat(..) => {
            KeychainError::Refused("the stored secret is not text".into())
        }
        _ => KeychainError::Refused("this operation is not supported".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Keychain, KeychainError, Store};
    use secrecy::SecretString;
    use std::time::Duration;

    struct Hanging;

    impl Store for Hanging {
        fn get(&mut self, _: &str, _: &str) -> Result<Option<String>, KeychainError> {
            loop {
                std::thread::park();
            }
        }
        fn set(&mut self, _: &str, _: &str, _: &str) -> Result<(), KeychainError> {
            Ok(())
        }
        fn delete(&mut self, _: &str, _: &str) -> Result<(), KeychainError> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_hanging_store_delays_each_caller_by_the_deadline_only() {
        let keychain = Keychain::with_store(Box::new(Hanging), Duration::from_millis(50));
        assert_eq!(keychain.get("s", "u").await.unwrap_err(), KeychainError::Timeout);
        let set = keychain.set("s", "u", SecretString::from("x")).await;
        assert_eq!(set.unwrap_err(), KeychainError::Timeout, "the thread still hangs");
    }

    #[tokio::test]
    async fn without_a_keychain_calls_fail_as_unavailable() {
        let none = Keychain::none();
        let error = none.get("s", "u").await.unwrap_err();
        assert!(matches!(error, KeychainError::Unavailable(_)), "{error}");
    }
}
