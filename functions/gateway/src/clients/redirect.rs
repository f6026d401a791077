//! Where an answer may be sent: exactly where the client said it would listen.

use url::{Host, Url};

/// Schemes that run or read something instead of handing over an address.
const NEVER: [&str; 12] = [
    "javascript",
    "data",
    "vbscript",
    "file",
    "filesystem",
    "blob",
    "about",
    "view-source",
    "ws",
    "wss",
    "ftp",
    "mailto",
];

/// What kind of place an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A web site, over TLS.
    Web,
    /// A program on the same machine, at a port of its own choice (RFC 8252 §7.3).
    Loopback,
    /// A program on the same machine, by a scheme of its own (RFC 8252 §7.1).
    Scheme,
}

/// What kind of place a redirect URI is, if it is one that anything may be sent to.
pub(crate) fn place(uri: &str) -> Option<Place> {
    // As it is written: a parser drops tabs and turns backslashes, and so may whoever compares.
    if !uri.bytes().all(|c| c.is_ascii_graphic() && !matches!(c, b'\\' | b'"' | b'<' | b'>' | b'`'))
        || uri.contains('#')
    {
        return None;
    }
    let url = Url::parse(uri).ok()?;
    if !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    match url.scheme() {
        "https" if url.has_host() => Some(Place::Web),
        "http" => is_loopback(&url).then_some(Place::Loopback),
        "https" => None,
        scheme if NEVER.contains(&scheme) => None,
        _ => uri.split_once("://").is_some_and(|(_, rest)| !rest.is_empty()).then_some(Place::Scheme),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether what a request asks for is what was registered: the same text; for loopback addresses any port will do, as the program
/// takes the one that is free (RFC 8252 §7.3).
pub(crate) fn matches(registered: &str, asked: &str) -> bool {
    if registered == asked {
        return place(asked).is_some();
    }
    if (place(registered), place(asked)) != (Some(Place::Loopback), Some(Place::Loopback)) {
        return false;
    }
    without_port(registered).is_some_and(|one| without_port(asked).is_some_and(|other| one == other))
}

fn without_port(uri: &str) -> Option<(String, String)> {
    let rest = uri.strip_prefix("http://")?;
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(at)?;
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|c| c.is_ascii_digit()) => host,
        _ => authority,
    };
    Some((host.to_owned(), path.to_owned()))
}

/// Whether only this machine hears the answer, so that any program on it can say it is this client.
pub(crate) fn is_local(uri: &str) -> bool {
    place(uri) != Some(Place::Web)
}

/// What a page says of it, and what a Content-Security-Policy may name: the origin, or the scheme.
pub(crate) fn target(uri: &str) -> String {
    match (place(uri), Url::parse(uri)) {
        (Some(Place::Web | Place::Loopback), Ok(url)) => url.origin().ascii_serialization(),
        (Some(Place::Scheme), Ok(url)) => format!("{}:", url.scheme()),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_registered_is_answered() {
        let web = "https://app.example/cb";
        assert!(matches(web, web));
        for other in [
            "https://app.example/cb/",
            "https://app.example/CB",
            "https://app.example/cb?x=1",
            "https://app.example/cb#f",
            "https://app.example:443/cb",
            "https://app.example:8443/cb",
            "https://APP.example/cb",
            "https://app.example./cb",
            "https://app.example@evil.example/cb",
            "https://user@app.example/cb",
            "http://app.example/cb",
            "//app.example/cb",
            "/\\app.example/cb",
            "https:app.example/cb",
            "https://app.example/%63b",
            "https://app.example/cb/../cb",
            "https://evil.example/cb",
        ] {
            assert!(!matches(web, other), "{other}");
        }
        assert!(matches("http://127.0.0.1/cb", "http://127.0.0.1:49152/cb"));
        assert!(matches("http://[::1]:1/cb", "http://[::1]:2/cb"));
        assert!(!matches("http://127.0.0.1/cb", "http://localhost:1/cb"), "another name is another place");
        assert!(!matches("http://127.0.0.1/cb", "http://127.0.0.1:1/other"));
        assert!(!matches("http://127.0.0.1/cb", "http://127.0.0.1:1@evil.example/cb"));
    }

    #[test]
    fn what_can_be_registered_at_all() {
        for good in [
            "https://a.example/cb",
            "http://localhost:3000/cb",
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "com.example.app://cb",
        ] {
            assert!(place(good).is_some(), "{good}");
        }
        for bad in [
            "javascript://a/%0aalert(1)",
            "data:text/html,x",
            "http://a.example/cb",
            "https://u:p@a.example/",
            "https://a.example/#x",
            "mailto:a@b",
            "urn:ietf:wg",
            "cb",
            "java\tscript://x",
            "about://x",
        ] {
            assert!(place(bad).is_none(), "{bad}");
        }
    }
}
