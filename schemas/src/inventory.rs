//! What an organisation has: the entities that its policies can be about, for tools that work on policy files.

use serde_json::Value;

use crate::decision::{AgentFacts, OrgFacts, ServerFacts, ToolFacts, UserFacts};
use crate::names::{ServerName, TeamName};

/// Everything of an organisation that policies can name.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// Version of this shape.
    pub v: u8,
    /// The organisation.
    pub org: OrgFacts,
    /// Its teams, each with those directly above it.
    #[serde(default)]
    pub teams: Vec<Team>,
    /// Its agents, with all their plain grants.
    #[serde(default)]
    pub agents: Vec<AgentFacts>,
    /// Its people.
    #[serde(default)]
    pub users: Vec<UserFacts>,
    /// Its servers, once for every toolbox they are in.
    #[serde(default)]
    pub servers: Vec<ServerFacts>,
    /// Their tools, once for every toolbox.
    #[serde(default)]
    pub tools: Vec<ToolFacts>,
}

/// A team.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Team {
    /// Its name.
    pub name: TeamName,
    /// The teams directly above it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub within: Vec<TeamName>,
}

/// An approved tool definition, as a policy set carries it when one of its policies looks into the tool's typed arguments.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ToolDefinition {
    /// The server.
    pub server: ServerName,
    /// The definition as approved: `name`, `description`, `inputSchema` and so on (MCP 2026-07-28, `server/tools`).
    pub definition: Value,
}

impl ToolDefinition {
    /// `server/tool`: the id of the tool, and of the action that stands for calling it with typed arguments.
    pub fn id(&self) -> String {
        let name = self.definition.get("name").and_then(Value::as_str).unwrap_or_default();
        format!("{}/{name}", self.server)
    }

    /// What an approval pins: see [`crate::pin`].
    pub fn pin(&self) -> crate::ids::Sha256Hex {
        crate::pin::pin(&self.definition)
    }
}
