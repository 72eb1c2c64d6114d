//! The account in use: signs in with the credentials of the folder, and leaves a server that is not
//! the configured one any more.

use super::Driver;
use crate::credentials::{self, Credentials, CredentialsError};
use crate::identity;
use crate::mcpd_client::McpdClient;
use crate::status::ConnectionState;
use client::server_url;
use wire::publisher::Instance;

/// The account that publishes.
pub(super) struct Account {
    pub(super) mcpd: McpdClient,
    pub(super) credentials: Credentials,
    pub(super) instance: Instance,
    /// Id of the session, once registered.
    pub(super) session: Option<String>,
    /// Something may be registered.
    pub(super) offers: bool,
}

impl Account {
    /// Leaves the idle connections to the server: what broke one of them may have broken all, and
    /// TCP would find out only after a while.
    pub(super) fn drop_idle_connections(&mut self) {
        if let Ok(mcpd) = McpdClient::new(self.credentials.clone()) {
            self.mcpd = mcpd;
        }
    }
}

impl Driver {
    /// Makes the account fit the credentials. Everything published at another server is withdrawn
    /// first.
    ///
    /// # Errors
    /// Credentials are missing, locked or unusable, or publishing stops; the state to show.
    pub(super) async fn sign_in(
        &mut self,
        account: &mut Option<Account>,
    ) -> Result<(), ConnectionState> {
        let loaded = match self.stop.run_until_cancelled(self.load_credentials()).await {
            Some(Ok(loaded)) => loaded,
            None => return Err(ConnectionState::Connecting),
            Some(Err(CredentialsError::Locked)) => return Err(ConnectionState::WaitingForKeyring),
            Some(Err(error)) => {
                return Err(ConnectionState::NotConfigured { message: error.to_string() });
            }
        };
        // The source can change without the token, for example from the file to the keychain.
        self.status.send_modify(|status| {
            status.server = Some(server_url::origin(&loaded.url));
            status.credentials = Some(loaded.source.as_str().into());
        });
        if account.as_ref().is_some_and(|account| account.credentials == loaded) {
            return Ok(());
        }
        let has_moved =
            |old: &Account| server_url::origin(old.mcpd.url()) != server_url::origin(&loaded.url);
        if account.as_ref().is_some_and(has_moved) {
            self.leave(account).await;
            if account.is_some() {
                return Err(ConnectionState::Connecting);
            }
        }
        let mcpd = McpdClient::new(loaded.clone());
        let mcpd =
            mcpd.map_err(|error| ConnectionState::NotConfigured { message: error.to_string() })?;
        *account = Some(Account {
            mcpd,
            session: identity::session(&self.home, &loaded.url),
            credentials: loaded,
            instance: identity::instance(&self.home),
            offers: false,
        });
        Ok(())
    }

    /// Withdraws everything that the account has published, and gives up answers that it has not
    /// finished. If publishing stops meanwhile, the account stays, and the shutdown withdraws.
    pub(super) async fn leave(&mut self, account: &mut Option<Account>) {
        let Some(leaving) = account else { return };
        let stop = self.stop.clone();
        if stop.run_until_cancelled(self.withdraw(leaving)).await.is_some() {
            *account = None;
            self.uplink = None;
            self.tasks.abandon();
        }
    }

    pub(super) async fn load_credentials(&self) -> Result<Credentials, CredentialsError> {
        let url = self.config.borrow().config.mcpd_url.clone();
        credentials::load(&self.home, url.as_ref(), &self.keychain).await
    }
}
