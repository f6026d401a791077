//! What can go wrong between the gateway and a server, and how the gateway is told.

use std::time::Duration;

use schemas::names::WorkloadName;
use schemas::provisioner::{MAX_MESSAGE_BYTES, Problem, ProblemKind};

use crate::host::HostError;
use crate::secrets::Secrets;
use crate::signature::Refusal;

/// Why a request was not fulfilled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The caller is not the gateway.
    #[error("the request is refused: {0}")]
    Unsigned(#[from] Refusal),
    /// The request makes no sense.
    #[error("{reason}")]
    Malformed {
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The message is larger than any server would read.
    #[error("the message is larger than {limit} bytes")]
    TooLarge {
        /// The bound.
        limit: usize,
    },
    /// A credential came sealed to a key of an earlier life, or an older one.
    #[error("the credential is sealed to a key that is not known here: ask for the key and seal again")]
    UnknownKey,
    /// A credential does not belong to the call it came with.
    #[error("the credential is refused: {reason}")]
    WrongCredential {
        /// Why; nothing of what it is.
        reason: String,
    },
    /// No container of that name anywhere.
    #[error("there is no workload `{name}` here: PUT its spec first")]
    UnknownWorkload {
        /// The name.
        name: WorkloadName,
    },
    /// The host lacks the image.
    #[error("the Docker host has no image `{image}`: build or load it there first")]
    UnknownImage {
        /// Reference and digest.
        image: String,
    },
    /// The server ended, or broke the protocol.
    #[error("the MCP server failed: {reason}; its logs say more")]
    ServerFailed {
        /// What happened.
        reason: String,
    },
    /// The server failed before and is not tried again yet.
    #[error("the MCP server keeps failing and is tried again in {} s; the last time: {reason}", retry_after.as_secs().max(1))]
    BackingOff {
        /// How long to wait.
        retry_after: Duration,
        /// What happened the last time.
        reason: String,
    },
    /// No answer in time.
    #[error("the MCP server did not answer within {} ms", after.as_millis())]
    Timeout {
        /// The bound.
        after: Duration,
    },
    /// The Docker host failed us.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl Error {
    /// The same without what must not come back: servers quote what they got.
    pub(crate) fn strike(self, secrets: &Secrets) -> Self {
        match self {
            Self::ServerFailed { reason } => Self::ServerFailed { reason: secrets.strike_text(reason) },
            Self::BackingOff { retry_after, reason } => {
                Self::BackingOff { retry_after, reason: secrets.strike_text(reason) }
            }
            Self::WrongCredential { reason } => Self::WrongCredential { reason: secrets.strike_text(reason) },
            Self::Host(HostError::Refused { reason }) => {
                Self::Host(HostError::Refused { reason: secrets.strike_text(reason) })
            }
            other @ (Self::Unsigned(_)
            | Self::Malformed { .. }
            | Self::TooLarge { .. }
            | Self::UnknownKey
            | Self::UnknownWorkload { .. }
            | Self::UnknownImage { .. }
            | Self::Timeout { .. }
            | Self::Host(_)) => other,
        }
    }

    /// The message exceeds what the wire allows.
    pub fn too_large() -> Self {
        Self::TooLarge { limit: MAX_MESSAGE_BYTES }
    }

    /// The problem the gateway reads.
    pub fn problem(&self) -> Problem {
        let (kind, status, title) = match self {
            Self::Unsigned(_) => (ProblemKind::Unsigned, 401, "request not signed by the gateway"),
            Self::Malformed { .. } => (ProblemKind::Malformed, 400, "malformed request"),
            Self::TooLarge { .. } => (ProblemKind::TooLarge, 413, "message too large"),
            Self::UnknownKey => (ProblemKind::UnknownKey, 409, "unknown transit key"),
            Self::WrongCredential { .. } => (ProblemKind::WrongCredential, 403, "wrong credential"),
            Self::UnknownWorkload { .. } => (ProblemKind::UnknownWorkload, 404, "unknown workload"),
            Self::UnknownImage { .. } => (ProblemKind::UnknownImage, 404, "unknown image"),
            Self::ServerFailed { .. } => (ProblemKind::ServerFailed, 502, "MCP server failed"),
            Self::BackingOff { .. } => (ProblemKind::BackingOff, 503, "MCP server backing off"),
            Self::Timeout { .. } => (ProblemKind::Timeout, 504, "MCP server timed out"),
            Self::Host(HostError::Unreachable { .. }) => {
                (ProblemKind::HostUnreachable, 503, "Docker host unreachable")
            }
            Self::Host(HostError::NoWayIn { .. }) => {
                (ProblemKind::Internal, 500, "no HTTP servers on this Docker host")
            }
            Self::Host(
                HostError::Missing { .. } | HostError::Conflict { .. } | HostError::Refused { .. },
            ) => (ProblemKind::Internal, 500, "Docker host refused"),
        };
        // Which check of a signature failed is for our log only.
        let detail = if matches!(self, Self::Unsigned(_)) { None } else { Some(self.to_string()) };
        Problem { kind, title: title.to_owned(), status, detail }
    }
}
