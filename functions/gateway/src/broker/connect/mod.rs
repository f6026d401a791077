//! Connecting an account: a browser leaves for a provider and comes back with a code, or a person enters a key; and the account is kept, if
//! the policies let its person connect it. Every step is a check of its own; none trusts what another has seen.

mod arriving;
mod keeping;
mod leaving;

use policies::Denial;
use schemas::audit::{Actor, Subject};
use schemas::decision::OrgFacts;
use schemas::ids::{SessionId, UserId};

use super::BrokerError;
use super::provider::account::AccountError;
use super::provider::token::TokenError;
use super::provider::{Provider, ProviderError};
use crate::audit::About;
use crate::identity::person::Person;
use crate::identity::session::Signed;
use crate::platform::PlatformError;
use crate::store::tickets::Ticket;
use crate::vault::VaultError;

pub(crate) use arriving::{Returned, arrive, cookie_gone};
pub(crate) use keeping::{Brought, Kept, decide, decline, keep, open_held};
pub(crate) use leaving::leave;

/// Whoever connects, and from which browser.
#[derive(Debug)]
pub(crate) struct Who<'a> {
    pub(crate) person: &'a Person,
    pub(crate) user: &'a UserId,
    pub(crate) session: &'a SessionId,
}

impl<'a> From<&'a Signed> for Who<'a> {
    fn from(signed: &'a Signed) -> Self {
        Self { person: &signed.person, user: &signed.user_id, session: &signed.id }
    }
}

/// Why an account is not connected. The texts are for the person and for the trail: they hold nothing secret, and no prose of strangers.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// What came back is not what this browser left for.
    #[error("{0}")]
    Answer(String),
    /// Somebody said no, there.
    #[error("the provider refused: `{0}`")]
    Refused(String),
    /// The provider is not set up well.
    #[error("the provider is not set up well: {0}")]
    Provider(ProviderError),
    /// No token came of it.
    #[error("the provider gave no access: {0}")]
    Token(#[from] TokenError),
    /// Nobody knows whose account it is.
    #[error("the provider: {0}")]
    Account(#[from] AccountError),
    /// The policies do not let this person connect it, or not so.
    #[error("the policies of your organisation do not allow that")]
    Denied(Box<Denial>),
    /// Somebody changed it at the same time, again and again.
    #[error("the account was changed at the same time: try again")]
    Busy,
    /// The vault is out of reach.
    #[error("{}", .0.told())]
    Vault(VaultError),
    /// The database is.
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

impl From<ProviderError> for ConnectError {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::Platform(error) => Self::Platform(error),
            ProviderError::Settings(_)
            | ProviderError::Secret
            | ProviderError::Vault(_)
            | ProviderError::Egress(_)
            | ProviderError::Discovery(_) => Self::Provider(error),
        }
    }
}

impl From<BrokerError> for ConnectError {
    fn from(error: BrokerError) -> Self {
        match error {
            BrokerError::Platform(error) | BrokerError::Vault(VaultError::Platform(error)) => {
                Self::Platform(error)
            }
            BrokerError::Vault(error) => Self::Vault(error),
            BrokerError::Ended(_)
            | BrokerError::NotTaken(_)
            | BrokerError::Ours(_)
            | BrokerError::Later(_)
            | BrokerError::Lacks(_)
            | BrokerError::Unopened => Self::Answer(error.told()),
        }
    }
}

impl ConnectError {
    /// Whether operators should look at the provider.
    pub(crate) fn is_trouble(&self) -> bool {
        matches!(
            self,
            Self::Provider(_) | Self::Token(TokenError::Ours(_)) | Self::Account(AccountError::Unclear(_))
        )
    }
}

/// What somebody does about an account, for the trail.
pub(crate) fn about(org: &OrgFacts, actor: Actor, method: &str, ticket: Option<&Ticket>) -> About {
    let subject = ticket.and_then(|ticket| {
        let server = ticket.server.as_deref().and_then(|name| schemas::names::ServerName::parse(name).ok());
        let asked = server.is_some() || ticket.tool.is_some();
        asked.then(|| Subject { toolbox: None, server, name: ticket.tool.clone() })
    });
    About {
        org: org.id.clone(),
        actor,
        method: method.to_owned(),
        subject,
        arguments: None,
        traceparent: None,
    }
}

/// What is bound to a flow: nothing of it opens for another.
fn place(state_hash: &str, ticket: &Ticket, who: &Who<'_>, provider: &Provider) -> Vec<u8> {
    format!(
        "{state_hash}\n{}\n{}\n{}\n{}\n{}\n{}",
        ticket.org.id, ticket.id, who.user, who.session, provider.id, provider.version
    )
    .into_bytes()
}
