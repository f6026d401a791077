//! A person's account at a provider, as far as a call has to know it: everything but the credential.

use std::collections::BTreeSet;

use schemas::decision::{ConnectionFacts, OrgFacts, Status, UserFacts};
use schemas::ids::{ConnectionId, Timestamp, UserId};
use schemas::names::{ProviderName, RoleName, TeamName, UserName};

/// An account, as the store says it.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Account {
    pub(crate) id: ConnectionId,
    /// Of the credential; every change raises it.
    pub(crate) version: i64,
    pub(crate) status: Standing,
    /// What it gave.
    pub(crate) scopes: BTreeSet<String>,
    pub(crate) sharing: Sharing,
    pub(crate) team: Option<TeamName>,
    /// Until when its access token is sent.
    pub(crate) usable_until: Option<Timestamp>,
    /// From when on it is refreshed.
    pub(crate) refresh_at: Option<Timestamp>,
    /// Why it needs its owner, in words for them.
    pub(crate) reason: Option<String>,
    pub(crate) owner_id: UserId,
    owner: Owner,
}

#[derive(Debug, Clone, serde::Deserialize)]
struct Owner {
    name: UserName,
    status: Status,
    email: String,
    /// With commas between.
    teams: Option<String>,
    roles: Option<String>,
}

/// Whether an account works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    Active,
    NeedsReconnect,
    Disconnected,
}

/// Who may use an account, besides its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sharing {
    /// Nobody.
    Personal,
    /// The people of a team.
    Team,
    /// Everybody in the organisation.
    Org,
}

impl Sharing {
    /// The word in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Team => "team",
            Self::Org => "org",
        }
    }
}

impl Account {
    /// What the policy engine is told of it.
    pub(crate) fn facts(&self, org: &OrgFacts, provider: &ProviderName) -> ConnectionFacts {
        ConnectionFacts {
            id: self.id.clone(),
            org: org.clone(),
            owner: UserFacts {
                name: self.owner.name.clone(),
                org: org.clone(),
                status: self.owner.status,
                email: self.owner.email.clone(),
                teams: names(self.owner.teams.as_deref(), |name| TeamName::parse(name).ok()),
                roles: names(self.owner.roles.as_deref(), |name| RoleName::parse(name).ok()),
            },
            provider: provider.clone(),
            status: match self.status {
                Standing::Active => Status::Active,
                Standing::NeedsReconnect => Status::Suspended,
                Standing::Disconnected => Status::Deleted,
            },
            scopes: self.scopes.clone(),
            shared: self.sharing == Sharing::Org,
            team: self.team.clone().filter(|_| self.sharing == Sharing::Team),
        }
    }
}

fn names<T: Ord>(text: Option<&str>, parse: impl Fn(&str) -> Option<T>) -> BTreeSet<T> {
    text.unwrap_or_default().split(',').filter_map(parse).collect()
}
