//! Whose fault it is. Status, log level and retry follow from that by an exhaustive match, and from nothing else.

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The request makes no sense.
    Caller,
    /// Nobody proved who is calling.
    Unproven,
    /// A policy says no, or nothing says yes.
    Denied,
    /// The MCP server failed.
    Upstream,
    /// The provisioner, or its Docker host, failed.
    Provisioner,
    /// The database or another part of the host failed.
    Platform,
    /// We did.
    Ours,
}

impl Fault {
    /// The HTTP status on surfaces that speak plain HTTP.
    pub fn status(self) -> http::StatusCode {
        match self {
            Self::Caller => http::StatusCode::BAD_REQUEST,
            Self::Unproven => http::StatusCode::UNAUTHORIZED,
            Self::Denied => http::StatusCode::NOT_FOUND,
            Self::Upstream | Self::Provisioner => http::StatusCode::BAD_GATEWAY,
            Self::Platform => http::StatusCode::SERVICE_UNAVAILABLE,
            Self::Ours => http::StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Writes the log's text at the level the fault deserves.
    pub fn log(self, text: &str) {
        match self {
            Self::Caller | Self::Unproven | Self::Denied => tracing::debug!(fault = ?self, "{text}"),
            Self::Upstream | Self::Provisioner => tracing::warn!(fault = ?self, "{text}"),
            Self::Platform | Self::Ours => tracing::error!(fault = ?self, "{text}"),
        }
    }
}
