//! Register and withdraw: the two requests that change what is published.

use super::Driver;
use super::account::Account;
use crate::identity;
use crate::mcpd_client::Fault;
use std::sync::atomic::Ordering;
use wire::publisher::{Provider, Register, Registered};

impl Driver {
    /// Registers these providers and applies the reply: session id, refused names, cancelled tasks.
    pub(super) async fn register(
        &self,
        account: &mut Account,
        providers: Vec<Provider>,
    ) -> Result<Registered, Fault> {
        let register = Register {
            protocol: wire::PROTOCOL_2,
            provider_session_id: account.session.clone(),
            inflight: self.tasks.ids(),
            instance: Some(account.instance.clone()),
            takeover: self.takeover.load(Ordering::Relaxed),
            providers,
        };
        let offers = !register.providers.is_empty();
        account.offers |= offers;
        let registered = account.mcpd.register(&register).await?;
        account.offers = offers;
        self.takeover.store(false, Ordering::Relaxed);
        let id = &registered.provider_session_id;
        if account.session.as_ref() != Some(id) {
            if let Err(error) = identity::store_session(&self.home, account.mcpd.url(), id) {
                tracing::warn!(
                    %error,
                    "the session cannot be stored; a restart publishes under a new one"
                );
            }
            account.session = Some(id.clone());
        }
        self.backends.set_rejected(&registered.rejected);
        for refused in &registered.rejected {
            tracing::warn!(llm = refused.name, code = refused.code.as_str(), "{}", refused.detail);
        }
        for id in &registered.cancel {
            self.tasks.cancel(id);
        }
        tracing::info!(llms = registered.llms.len(), protocol = registered.protocol, "registered");
        Ok(registered)
    }

    /// Registers an empty set, unless that is registered already. Running requests may run on, and the
    /// reply says which.
    pub(super) async fn withdraw(&self, account: &mut Account) -> Option<Registered> {
        let id = account.session.as_ref().filter(|_| account.offers)?;
        let register = Register {
            protocol: wire::PROTOCOL_2,
            provider_session_id: Some(id.clone()),
            inflight: self.tasks.ids(),
            instance: Some(account.instance.clone()),
            ..Register::default()
        };
        match tokio::time::timeout(self.times.withdraw, account.mcpd.register(&register)).await {
            Ok(Ok(registered)) => {
                tracing::info!("withdrawn");
                account.offers = false;
                return Some(registered);
            }
            Ok(Err(fault)) => tracing::info!(%fault, "the withdrawal failed"),
            Err(_) => tracing::info!("the withdrawal was not answered in time"),
        }
        None
    }
}

/// True if the two sets differ in more than the state of a backend, which travels by heartbeat.
pub(super) fn differ(now: &[Provider], registered: &[Provider]) -> bool {
    let same = |a: &Provider, b: &Provider| {
        let a = Provider { initial_status: b.initial_status.clone(), ..a.clone() };
        a == *b
    };
    now.len() != registered.len() || !now.iter().zip(registered).all(|(a, b)| same(a, b))
}
