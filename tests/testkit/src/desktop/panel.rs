//! A panel as tray icons see it: a StatusNotifierWatcher that reads picture, tooltip and menu of each
//! icon.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use zbus::message::Header;
use zbus::zvariant::{OwnedValue, Value};
use zbus::{Connection, interface};

const NAME: &str = "org.kde.StatusNotifierWatcher";
const PATH: &str = "/StatusNotifierWatcher";
const ITEM: &str = "org.kde.StatusNotifierItem";
const MENU: &str = "com.canonical.dbusmenu";

/// The panel. Dropping it removes it from the bus.
pub struct Panel {
    connection: Connection,
    registered: Arc<Mutex<Vec<(String, String)>>>,
}

struct Watcher {
    registered: Arc<Mutex<Vec<(String, String)>>>,
}

#[interface(name = "org.kde.StatusNotifierWatcher")]
impl Watcher {
    fn register_status_notifier_item(&self, service: &str, #[zbus(header)] header: Header<'_>) {
        let sender = header.sender().map(ToString::to_string).unwrap_or_default();
        // Either a path of the sender, or a bus name with the default path.
        let item = if service.starts_with('/') {
            (sender, service.to_owned())
        } else {
            (service.to_owned(), "/StatusNotifierItem".to_owned())
        };
        self.registered.lock().push(item);
    }

    fn register_status_notifier_host(&self, _service: &str) {}

    #[zbus(property)]
    fn is_status_notifier_host_registered(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn protocol_version(&self) -> i32 {
        0
    }

    #[zbus(property)]
    fn registered_status_notifier_items(&self) -> Vec<String> {
        self.registered.lock().iter().map(|(service, path)| format!("{service}{path}")).collect()
    }
}

impl Panel {
    /// Starts it on this bus.
    pub async fn start(bus: &str) -> Self {
        let registered = Arc::new(Mutex::new(Vec::new()));
        let watcher = Watcher { registered: Arc::clone(&registered) };
        let connection = zbus::connection::Builder::address(bus)
            .unwrap()
            .serve_at(PATH, watcher)
            .unwrap()
            .name(NAME)
            .unwrap()
            .build()
            .await
            .unwrap();
        Self { connection, registered }
    }

    /// The icon that registered last; waits for the first one.
    pub async fn icon(&self) -> Icon {
        let (service, path) =
            crate::until("an icon registers", async || self.registered.lock().last().cloned())
                .await;
        Icon { connection: self.connection.clone(), service, path }
    }

    /// True if no icon has registered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.registered.lock().is_empty()
    }

    /// Closes its connection to the bus.
    pub async fn stop(self) {
        self.connection.close().await.unwrap();
    }
}

/// An icon on the panel.
pub struct Icon {
    connection: Connection,
    service: String,
    path: String,
}

/// A line of an icon's menu.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    id: i32,
    /// Text.
    pub label: String,
    /// True if it can be clicked.
    pub enabled: bool,
    /// State of a switch; `None` for other lines.
    pub on: Option<bool>,
    /// Lines of its submenu.
    pub lines: Vec<Self>,
}

impl Icon {
    /// Its picture: width in pixels, and the pixels as ARGB bytes.
    pub async fn picture(&self) -> (i32, Vec<u8>) {
        let pixmaps: Vec<(i32, i32, Vec<u8>)> = self.property("IconPixmap").await;
        let (width, _, bytes) = pixmaps.into_iter().next().unwrap();
        (width, bytes)
    }

    /// Title and text of its tooltip.
    pub async fn tooltip(&self) -> String {
        type Tooltip = (String, Vec<(i32, i32, Vec<u8>)>, String, String);
        let (_, _, title, text): Tooltip = self.property("ToolTip").await;
        format!("{title} {text}")
    }

    /// Clicks it with the left button.
    pub async fn activate(&self) {
        self.connection
            .call_method(Some(&*self.service), &*self.path, Some(ITEM), "Activate", &(0, 0))
            .await
            .unwrap();
    }

    /// The labels of the menu; `None` if the icon's process is gone.
    pub async fn labels_or_none(&self) -> Option<Vec<String>> {
        let ping = ("org.freedesktop.DBus.Peer", "Ping");
        let service = Some(&*self.service);
        let there = self.connection.call_method(service, &*self.path, Some(ping.0), ping.1, &());
        there.await.ok()?;
        Some(self.labels().await)
    }

    /// All lines of the menu.
    pub async fn menu(&self) -> Vec<Line> {
        let reply = self
            .connection
            .call_method(
                Some(&*self.service),
                &*self.menu_path().await,
                Some(MENU),
                "GetLayout",
                &(0, -1, Vec::<&str>::new()),
            )
            .await
            .unwrap();
        type Layout = (i32, HashMap<String, OwnedValue>, Vec<OwnedValue>);
        let body = reply.body();
        let (_, (_, _, children)): (u32, Layout) = body.deserialize().unwrap();
        children.into_iter().map(|child| line(&child)).collect()
    }

    /// The labels of the menu, with `[x] ` or `[ ] ` before a switch.
    pub async fn labels(&self) -> Vec<String> {
        let label = |line: Line| match line.on {
            Some(on) => format!("[{}] {}", if on { "x" } else { " " }, line.label),
            None => line.label,
        };
        self.menu().await.into_iter().map(label).filter(|label| !label.is_empty()).collect()
    }

    /// Waits for a line that contains `words`.
    pub async fn until_line(&self, words: &str) {
        let mut last = Vec::new();
        let found = async {
            loop {
                last = self.labels().await;
                if last.iter().any(|label| label.contains(words)) {
                    return;
                }
                tokio::time::sleep(crate::POLL_INTERVAL).await;
            }
        };
        let found = tokio::time::timeout(crate::TIMEOUT, found).await.is_ok();
        assert!(found, "no menu line contains {words:?}; the lines are {last:#?}");
    }

    /// Clicks the line that begins with `words`, in the menu or a submenu.
    pub async fn click(&self, words: &str) {
        let line = crate::until(&format!("a line {words:?} to click"), async || {
            let menu = self.menu().await;
            let all = menu.iter().flat_map(|line| std::iter::once(line).chain(&line.lines));
            let mut fitting = all.filter(|line| line.enabled && line.label.starts_with(words));
            fitting.next().map(|line| line.id)
        })
        .await;
        let event = (line, "clicked", Value::from(0), 0_u32);
        let path = self.menu_path().await;
        self.connection
            .call_method(Some(&*self.service), &*path, Some(MENU), "Event", &event)
            .await
            .unwrap();
    }

    async fn menu_path(&self) -> String {
        let path: zbus::zvariant::OwnedObjectPath = self.property("Menu").await;
        path.to_string()
    }

    async fn property<T>(&self, name: &str) -> T
    where
        T: TryFrom<OwnedValue>,
        T::Error: std::fmt::Debug,
    {
        let properties = Some("org.freedesktop.DBus.Properties");
        let reply = self
            .connection
            .call_method(Some(&*self.service), &*self.path, properties, "Get", &(ITEM, name))
            .await
            .unwrap();
        T::try_from(reply.body().deserialize::<OwnedValue>().unwrap()).unwrap()
    }
}

fn line(value: &Value<'_>) -> Line {
    let Value::Structure(structure) = value else { panic!("a menu line: {value:?}") };
    let [Value::I32(id), Value::Dict(properties), Value::Array(children)] = structure.fields()
    else {
        panic!("a menu line: {value:?}")
    };
    let get = |name: &str| {
        let mut all = properties.iter();
        let found = all.find(|(key, _)| **key == Value::from(name)).map(|(_, value)| value);
        found.map(unwrap_variant)
    };
    let label = get("label").and_then(|label| label.downcast_ref::<String>().ok());
    let label = label.unwrap_or_default();
    let is_switch = get("toggle-type").is_some_and(|kind| *kind == Value::from("checkmark"));
    let state = get("toggle-state").and_then(|state| state.downcast_ref::<i32>().ok());
    Line {
        id: *id,
        // A single underscore marks an access key; a double one is a literal underscore.
        label: label.replace("__", "_"),
        enabled: get("enabled").is_none_or(|enabled| *enabled == Value::from(true)),
        on: is_switch.then(|| state == Some(1)),
        lines: children.iter().map(|child| line(unwrap_variant(child))).collect(),
    }
}

/// The value inside a variant.
fn unwrap_variant<'a>(value: &'a Value<'a>) -> &'a Value<'a> {
    if let Value::Value(inner) = value { inner } else { value }
}
