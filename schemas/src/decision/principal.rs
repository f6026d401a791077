//! Who acts: agents, people, and what they belong to.

use std::collections::BTreeSet;

use super::Status;
use crate::ids::OrgId;
use crate::names::{AgentName, OrgName, RoleName, ServerName, TeamName, ToolboxName, UserName};

/// Who acts: an agent on a toolbox, or a person on the deployment.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Principal {
    /// `Ambit::Agent::"<name>"`.
    Agent(AgentFacts),
    /// `Ambit::User::"<name>"`.
    User(UserFacts),
}

/// Records written before people were principals say no `type`: they are of agents.
impl<'de> serde::Deserialize<'de> for Principal {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let mut facts = serde_json::Map::deserialize(deserializer)?;
        let kind = facts.remove("type").unwrap_or_else(|| "agent".into());
        let facts = serde_json::Value::Object(facts);
        match kind.as_str() {
            Some("agent") => serde_json::from_value(facts).map(Self::Agent).map_err(D::Error::custom),
            Some("user") => serde_json::from_value(facts).map(Self::User).map_err(D::Error::custom),
            _ => Err(D::Error::custom("the `type` of a principal is `agent` or `user`")),
        }
    }
}

impl Principal {
    /// The agent, if it is one.
    pub fn agent(&self) -> Option<&AgentFacts> {
        match self {
            Self::Agent(agent) => Some(agent),
            Self::User(_) => None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Agent(agent) => agent.name.as_str(),
            Self::User(user) => user.name.as_str(),
        }
    }
}

/// What the engine knows of an agent.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct AgentFacts {
    /// Its name: `Ambit::Agent::"<name>"`.
    pub name: AgentName,
    /// The organisation it belongs to.
    pub org: OrgFacts,
    /// Whether it is in use.
    pub status: Status,
    /// The person who answers for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserName>,
    /// Every team it is in, those above included.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub teams: BTreeSet<TeamName>,
    /// Plain grants to it, its teams or its organisation that bear on this request, from the store: data, not policies, so that
    /// their number costs nothing.
    #[serde(default, skip_serializing_if = "Grants::is_empty")]
    pub grants: Grants,
}

/// Plain grants of an agent, sliced to what the request is about.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct Grants {
    /// Whole toolboxes.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub toolboxes: BTreeSet<ToolboxName>,
    /// Whole servers.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub servers: BTreeSet<ServerName>,
    /// Single tools, as `server/tool`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tools: BTreeSet<String>,
}

impl Grants {
    /// Whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        self.toolboxes.is_empty() && self.servers.is_empty() && self.tools.is_empty()
    }
}

/// An organisation: names are for people and policies, the id tells two apart for good.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct OrgFacts {
    /// Its id; `Ambit::Org::"<id>"`, so that no choice of names can make two tenants equal.
    pub id: OrgId,
    /// Its name.
    pub name: OrgName,
}

/// What the engine knows of a person.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct UserFacts {
    /// Their name: `Ambit::User::"<name>"`.
    pub name: UserName,
    /// The organisation they belong to.
    pub org: OrgFacts,
    /// Whether they are in use.
    pub status: Status,
    /// Their address, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub email: String,
    /// Every team they are in, those above included.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub teams: BTreeSet<TeamName>,
    /// What they do in the organisation. What a role may do stands in policies.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub roles: BTreeSet<RoleName>,
}
