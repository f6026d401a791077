//! OAuth clients: the programs that ask people, or prove by themselves, that they may act as an agent.
//!
//! Three kinds: registered by an organisation, registered by themselves (RFC 7591), or described by a document at the URL that is
//! their id (Client ID Metadata Document). And one of our own, the command line.

mod document;
mod metadata;
mod proof;
mod redirect;

use schemas::ids::{AgentId, OrgId};

pub(crate) use metadata::{BadMetadata, Metadata, Method};
pub(crate) use proof::{Proof, ProofError, prove};
pub(crate) use redirect::{is_local, matches as redirect_matches, target};

use crate::Gateway;
use crate::platform::{Platform, PlatformError};
use crate::store;

/// The id of our own command line.
pub(crate) const COMMAND_LINE: &str = "ambit-cli";

/// Stands for no client at all.
const WORKLOAD: &str = "workload";

/// Where a client comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// An organisation registered it, for itself.
    Registered,
    /// It registered itself.
    Dynamic,
    /// Its id is the URL of what it says of itself.
    Document,
}

/// A client.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    /// Whose it is, if an organisation registered it: then it is nobody else's.
    pub(crate) org: Option<OrgId>,
    /// The agent that it is, with no person behind it.
    pub(crate) agent: Option<AgentId>,
    pub(crate) metadata: Metadata,
    pub(crate) secret_hash: Option<String>,
}

impl Client {
    /// What people are shown. A name is the client's own word, so its host stands beside it.
    pub(crate) fn title(&self) -> &str {
        self.metadata.client_name.as_deref().unwrap_or(&self.id)
    }

    /// Whether it may act in that organisation at all.
    pub(crate) fn is_for(&self, org: &OrgId) -> bool {
        self.org.as_ref().is_none_or(|own| own == org)
    }

    /// Whoever shows an assertion and does not say which client it is: what is let in is what the assertion is about (RFC 7521 §4.1).
    pub(crate) fn workload() -> Self {
        Self { id: WORKLOAD.to_owned(), metadata: Metadata::default(), ..command_line() }
    }

    /// Whether it is that.
    pub(crate) fn is_workload(&self) -> bool {
        self.id == WORKLOAD
    }

    /// Whether one of an agent's patterns lets it in: its id, `https://host/*` for ids that are such URLs, or `*`.
    pub(crate) fn is_let_in(&self, patterns: &[String]) -> bool {
        patterns.iter().any(|pattern| {
            pattern == "*"
                || *pattern == self.id
                || pattern.strip_suffix("/*").is_some_and(|host| {
                    self.kind == Kind::Document
                        && host.starts_with("https://")
                        && self.id.strip_prefix(host).is_some_and(|rest| rest.starts_with('/'))
                })
        })
    }
}

/// Why there is no such client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody has that id, or what it says of itself is no good.
    #[error("{0}")]
    Unknown(String),
    /// We could not find out.
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

/// The client of that id.
pub(crate) async fn find<P: Platform>(
    gateway: &Gateway,
    platform: &P,
    id: &str,
) -> Result<Client, ClientError> {
    if id == COMMAND_LINE {
        return Ok(command_line());
    }
    let known = store::clients::find(platform, id).await?;
    match known {
        Some(client) => Ok(client),
        None if document::is_one(gateway, id) => document::fetch(gateway, platform, id).await,
        None => Err(ClientError::Unknown(format!(
            "no client `{}` is registered here, or its registration has expired: it has to register again",
            crate::routes::visible(id)
        ))),
    }
}

/// `ambit login`: a public client on the machine of whoever runs it.
fn command_line() -> Client {
    Client {
        id: COMMAND_LINE.to_owned(),
        kind: Kind::Registered,
        org: None,
        agent: None,
        metadata: Metadata::command_line(),
        secret_hash: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_let_in_what_they_say() {
        let mut client = command_line();
        client.kind = Kind::Document;
        client.id = "https://claude.ai/oauth/client.json".to_owned();
        let lets = |pattern: &str| client.is_let_in(&[pattern.to_owned()]);
        assert!(lets("*") && lets("https://claude.ai/*") && lets("https://claude.ai/oauth/*"));
        assert!(lets("https://claude.ai/oauth/client.json"));
        for other in [
            "https://claude.a/*",
            "https://claude.ai.evil/*",
            "https://*",
            "claude.ai/*",
            "",
            "/*",
            "http://claude.ai/*",
        ] {
            assert!(!lets(other), "{other}");
        }
        // Somebody who registers may choose a name, never an id.
        client.kind = Kind::Dynamic;
        assert!(!client.is_let_in(&["https://claude.ai/*".to_owned()]));
    }
}
