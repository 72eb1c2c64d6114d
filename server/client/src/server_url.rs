//! Which URLs a server may have: `https`, or `http` on this machine.

use url::{Host, Url};

/// Parses a server's URL.
///
/// # Errors
/// The text is not a URL with a host, or the token would travel unencrypted over a network. The
/// message is a sentence for people.
pub fn parse(text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim())
        .map_err(|_| format!("{text:?} is not a full URL: type it as https://mcpd.example.com"))?;
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => {
            return Err(format!("{text:?} names no server: type it as https://mcpd.example.com"));
        }
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        _ => Err(format!("{text:?} must start with https:// (http:// only on this machine)")),
    }
}

/// Returns the URL as it is stored: without a slash at its end.
#[must_use]
pub fn to_stored(server: &Url) -> String {
    server.as_str().trim_end_matches('/').to_owned()
}

/// Returns the server's origin: scheme, host and port. Tokens are stored under it.
#[must_use]
pub fn origin(server: &Url) -> String {
    server.origin().ascii_serialization()
}

/// Returns the URL of an API path on this server, whose own URL may have a path.
#[must_use]
pub fn endpoint(server: &Url, path: &str) -> Url {
    let mut url = server.clone();
    let base = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{base}{path}"));
    url.set_query(None);
    url
}

#[cfg(test)]
mod tests {
    use super::{endpoint, origin, parse, to_stored};

    #[test]
    fn a_server_is_https_or_on_this_machine() {
        for good in [
            "https://mcpd.example.com",
            " https://mcpd.example.com:8443/base\n",
            "http://localhost:8080",
            "http://127.0.0.2:1",
            "http://[::1]:1",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for (bad, word) in [
            ("mcpd.example.com", "full URL"),
            ("", "full URL"),
            ("data:text/plain,x", "names no server"),
            ("http://mcpd.example.com", "https://"),
            ("http://localhost.example.com", "https://"),
            ("http://10.0.0.1", "https://"),
            ("ftp://localhost", "https://"),
        ] {
            let why = parse(bad).unwrap_err();
            assert!(why.contains(word), "{bad}: {why}");
        }
    }

    #[test]
    fn paths_are_appended_to_a_servers_own_path() {
        let server = parse("https://example.com:8443/base/?x=1").unwrap();
        assert_eq!(
            endpoint(&server, "/v1/models").as_str(),
            "https://example.com:8443/base/v1/models"
        );
        assert_eq!(origin(&server), "https://example.com:8443");
        let plain = parse("https://example.com/").unwrap();
        assert_eq!(endpoint(&plain, "/v1/models").as_str(), "https://example.com/v1/models");
        assert_eq!(to_stored(&plain), "https://example.com");
    }
}
