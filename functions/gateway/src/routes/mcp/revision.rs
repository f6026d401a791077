//! The revisions of MCP, and what tells them apart on one URL.

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
