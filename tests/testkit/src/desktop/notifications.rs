//! A double of the notification server: records notifications and clicks on them.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use zbus::zvariant::OwnedValue;
use zbus::{Connection, interface};

const NAME: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";

/// The notification server.
pub struct Notifications {
    connection: Connection,
    shown: Arc<Mutex<Vec<(String, String)>>>,
}

struct Server {
    shown: Arc<Mutex<Vec<(String, String)>>>,
}

#[interface(name = "org.freedesktop.Notifications")]
impl Server {
    #[expect(clippy::too_many_arguments, reason = "the interface has as many")]
    fn notify(
        &self,
        _app: &str,
        _replaces: u32,
        _icon: &str,
        summary: &str,
        body: &str,
        _actions: Vec<String>,
        _hints: HashMap<String, OwnedValue>,
        _timeout: i32,
    ) -> u32 {
        let mut shown = self.shown.lock();
        shown.push((summary.to_owned(), body.to_owned()));
        u32::try_from(shown.len()).unwrap()
    }

    fn close_notification(&self, _id: u32) {}

    fn get_capabilities(&self) -> Vec<String> {
        vec!["actions".into(), "body".into()]
    }

    fn get_server_information(&self) -> (String, String, String, String) {
        let text = str::to_owned;
        (text("testkit"), text("tests"), text("1"), text("1.2"))
    }
}

impl Notifications {
    /// Starts it on this bus.
    pub async fn start(bus: &str) -> Self {
        let shown = Arc::new(Mutex::new(Vec::new()));
        let server = Server { shown: Arc::clone(&shown) };
        let connection = zbus::connection::Builder::address(bus)
            .unwrap()
            .serve_at(PATH, server)
            .unwrap()
            .name(NAME)
            .unwrap()
            .build()
            .await
            .unwrap();
        Self { connection, shown }
    }

    /// Waits for a notification that contains `words`; returns its number, title and text.
    pub async fn until_shown(&self, words: &str) -> (u32, String, String) {
        crate::until(&format!("a notification contains {words:?}"), async || {
            let shown = self.shown.lock();
            let at = shown
                .iter()
                .position(|(title, body)| title.contains(words) || body.contains(words))?;
            let (title, body) = shown[at].clone();
            Some((u32::try_from(at + 1).unwrap(), title, body))
        })
        .await
    }

    /// Clicks on the notification of this number.
    pub async fn click(&self, number: u32) {
        let invoked = (number, "default");
        self.connection
            .emit_signal(None::<&str>, PATH, NAME, "ActionInvoked", &invoked)
            .await
            .unwrap();
    }
}
