//! The program's name, and the arguments with which its two processes are started.

use crate::route::Route;

/// The name under which this program reports its status.
pub(crate) const NAME: &str = "mcplocal";

/// The argument with which the desktop starts the program at login.
pub(crate) const AT_LOGIN: &str = "--autostart";

/// The argument that starts the window process; a route may follow.
pub(crate) const WINDOW: &str = "--window";

/// Makes GTK run without a graphics driver. Set for the tray process only.
pub(crate) const GDK_GL: &str = "GDK_GL";

/// The process that the arguments select.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The process that publishes and shows the tray icon.
    Tray {
        /// The desktop started it at login.
        at_login: bool,
    },
    /// The process of the settings window.
    Window {
        /// The page to open with.
        route: Option<Route>,
    },
}

impl Mode {
    /// Reads the arguments that follow the program's path. Unknown ones are ignored.
    pub(crate) fn from_arguments(arguments: &[String]) -> Self {
        if arguments.first().is_some_and(|first| first == WINDOW) {
            let route = arguments.get(1).and_then(|text| Route::parse(text));
            return Self::Window { route };
        }
        Self::Tray { at_login: arguments.iter().any(|argument| argument == AT_LOGIN) }
    }
}

#[cfg(test)]
mod tests {
    use super::Mode;
    use crate::route::{Page, Route};

    fn mode(arguments: &[&str]) -> Mode {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        Mode::from_arguments(&arguments)
    }

    #[test]
    fn arguments_choose_the_process_and_its_page() {
        assert_eq!(mode(&[]), Mode::Tray { at_login: false });
        assert_eq!(mode(&["--autostart"]), Mode::Tray { at_login: true });
        assert_eq!(mode(&["--window"]), Mode::Window { route: None });
        let route = Some(Route::from(Page::Models));
        assert_eq!(mode(&["--window", "models"]), Mode::Window { route });
    }
}
