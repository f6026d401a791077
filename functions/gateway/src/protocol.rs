//! The words of MCP that several rooms speak: revisions, keys in `_meta`, and the encoding of mirrored headers.

use std::borrow::Cow;

use base64::Engine as _;

/// The modern revision: what we speak inside.
pub(crate) const MODERN: &str = "2026-07-28";
/// Key in `_meta` that carries the revision of a modern request.
pub(crate) const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// Key in `_meta` that carries the client's capabilities.
pub(crate) const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// Key in `_meta` that carries what the client says of itself.
pub(crate) const META_CLIENT: &str = "io.modelcontextprotocol/clientInfo";
/// Key in `_meta` that asks for log messages.
pub(crate) const META_LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// Key in a result's `_meta` that carries what a server says of itself.
pub(crate) const META_SERVER: &str = "io.modelcontextprotocol/serverInfo";

/// How a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    /// 2026-07-28: every request describes itself.
    Modern,
    /// A handshake revision, served without sessions.
    Legacy(Legacy),
}

/// The handshake revisions with Streamable HTTP, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Legacy {
    /// 2025-03-26: also what a request without any version is.
    March2025,
    /// 2025-06-18.
    June2025,
    /// 2025-11-25.
    November2025,
}

impl Legacy {
    /// The revision of that date.
    pub(crate) fn parse(version: &str) -> Option<Self> {
        match version {
            "2025-03-26" => Some(Self::March2025),
            "2025-06-18" => Some(Self::June2025),
            "2025-11-25" => Some(Self::November2025),
            _ => None,
        }
    }

    /// Its date.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::March2025 => "2025-03-26",
            Self::June2025 => "2025-06-18",
            Self::November2025 => "2025-11-25",
        }
    }
}

/// `_meta` of a message of our own, on nobody's behalf.
pub(crate) fn own_meta() -> serde_json::Value {
    serde_json::json!({
        META_VERSION: MODERN,
        META_CAPABILITIES: {},
        META_CLIENT: { "name": "ambit", "version": env!("CARGO_PKG_VERSION") },
    })
}

/// Undoes the Base64 sentinel of mirrored values. `None` if the sentinel is broken.
pub(crate) fn decode(value: &str) -> Option<Cow<'_, str>> {
    let Some(inner) = value.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?=")) else {
        return Some(Cow::Borrowed(value));
    };
    let bytes = base64::engine::general_purpose::STANDARD.decode(inner).ok()?;
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// Applies the Base64 sentinel where a mirrored value needs it.
pub(crate) fn encode(value: &str) -> Cow<'_, str> {
    let plain = value.bytes().all(|c| (0x20..0x7f).contains(&c))
        && value.trim() == value
        && !value.starts_with("=?base64?");
    if plain && !value.is_empty() {
        Cow::Borrowed(value)
    } else {
        Cow::Owned(format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentinel_round_trips() {
        for value in ["plain", " edge", "ü", "=?base64?x?=", "", "a b"] {
            assert_eq!(decode(&encode(value)).unwrap(), value);
        }
        assert!(decode("=?base64?%%?=").is_none());
        assert_eq!(encode("plain"), "plain");
    }
}
