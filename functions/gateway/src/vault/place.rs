//! Where a sealed value belongs. All of it is authenticated with the value: in any other place it does not open.

use schemas::ids::{ConnectionId, OrgId, ProviderId, UserId};

/// A place in the database for one sealed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// The credential of a connection. The version goes up with every credential, so that an older one can't be put back.
    Credential {
        /// Whose vault.
        org: &'a OrgId,
        /// Of which connection.
        connection: &'a ConnectionId,
        /// Whose account it is.
        owner: &'a UserId,
        /// Where the account is.
        provider: &'a ProviderId,
        /// Which credential of the connection.
        version: i64,
    },
    /// Our own client secret at a provider.
    ClientSecret {
        /// Whose vault.
        org: &'a OrgId,
        /// Where we are a client.
        provider: &'a ProviderId,
        /// Which secret of the provider.
        version: i64,
    },
}

impl<'a> Place<'a> {
    /// Whose vault it is in.
    pub fn org(&self) -> &'a OrgId {
        match self {
            Self::Credential { org, .. } | Self::ClientSecret { org, .. } => org,
        }
    }

    /// The place as bytes: each part after its length, so that no two places read alike.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(192);
        let mut add = |part: &str| length_prefixed(&mut bytes, part.as_bytes());
        let version = match self {
            Self::Credential { org, connection, owner, provider, version } => {
                add("credential");
                add(org.as_str());
                add(connection.as_str());
                add(owner.as_str());
                add(provider.as_str());
                version
            }
            Self::ClientSecret { org, provider, version } => {
                add("client-secret");
                add(org.as_str());
                add(provider.as_str());
                version
            }
        };
        bytes.extend_from_slice(&version.to_be_bytes());
        bytes
    }
}

/// Adds a part after its length, in eight bytes.
pub(super) fn length_prefixed(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
    bytes.extend_from_slice(part);
}
