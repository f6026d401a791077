//! What is acted upon.

use std::collections::BTreeSet;

use super::{DefinitionState, OrgFacts, Status, Trust, UserFacts};
use crate::ids::{ConnectionId, Sha256Hex};
use crate::names::{ProviderName, ServerName, TeamName, ToolboxName};

/// What the engine knows of a server. `McpServer in Toolbox in Org`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct ServerFacts {
    /// Its name: `Ambit::McpServer::"<name>"`.
    pub name: ServerName,
    /// The organisation it belongs to.
    pub org: OrgFacts,
    /// The toolbox through which it is being used: its only parent in this decision.
    pub toolbox: ToolboxName,
    /// Whether it is in use.
    pub status: Status,
    /// How far we trust its publisher.
    pub trust: Trust,
    /// Whose accounts it acts on, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderName>,
}

/// What is acted upon.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ResourceFacts {
    /// `Ambit::Tool::"<server>/<tool>"`.
    Tool(ToolFacts),
    /// `Ambit::Prompt::"<server>/<prompt>"`.
    Prompt(ItemFacts),
    /// `Ambit::Resource::"<server>/<uri>"`.
    Resource(ItemFacts),
    /// `Ambit::Connection::"<id>"`.
    Connection(ConnectionFacts),
    /// `Ambit::Org::"<id>"`.
    Org(OrgFacts),
    /// `Ambit::Toolbox::"<name>"`.
    Toolbox(ToolboxFacts),
    /// `Ambit::McpServer::"<name>"`.
    Server(ServerFacts),
    /// `Ambit::User::"<name>"`.
    User(UserFacts),
}

impl ResourceFacts {
    /// The server it belongs to or is.
    pub fn server(&self) -> Option<&ServerFacts> {
        match self {
            Self::Tool(tool) => Some(&tool.server),
            Self::Prompt(item) | Self::Resource(item) => Some(&item.server),
            Self::Server(server) => Some(server),
            Self::Connection(_) | Self::Org(_) | Self::Toolbox(_) | Self::User(_) => None,
        }
    }

    /// Its name: the one its server gives it for tool, prompt and resource (its URI).
    pub fn name(&self) -> &str {
        match self {
            Self::Tool(tool) => &tool.name,
            Self::Prompt(item) | Self::Resource(item) => &item.name,
            Self::Connection(connection) => connection.id.as_str(),
            Self::Org(org) => org.name.as_str(),
            Self::Toolbox(toolbox) => toolbox.name.as_str(),
            Self::Server(server) => server.name.as_str(),
            Self::User(user) => user.name.as_str(),
        }
    }

    /// The tool, if it is one.
    pub fn tool(&self) -> Option<&ToolFacts> {
        match self {
            Self::Tool(tool) => Some(tool),
            Self::Prompt(_)
            | Self::Resource(_)
            | Self::Connection(_)
            | Self::Org(_)
            | Self::Toolbox(_)
            | Self::Server(_)
            | Self::User(_) => None,
        }
    }
}

/// What the engine knows of a toolbox.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct ToolboxFacts {
    /// Its name.
    pub name: ToolboxName,
    /// The organisation it belongs to.
    pub org: OrgFacts,
}

/// What the engine knows of a person's account at a provider.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct ConnectionFacts {
    /// Its id.
    pub id: ConnectionId,
    /// The organisation it belongs to.
    pub org: OrgFacts,
    /// Whose account it is.
    pub owner: UserFacts,
    /// Where the account is.
    pub provider: ProviderName,
    /// Whether it works.
    pub status: Status,
    /// What the account gave.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub scopes: BTreeSet<String>,
    /// Whether its owner lets everybody in the organisation use it.
    #[serde(default)]
    pub shared: bool,
    /// The team that its owner lets use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<TeamName>,
}

/// What the engine knows of a tool. Every flag is the one an administrator confirmed, never the server's own word.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[expect(clippy::struct_excessive_bools, reason = "they are MCP's four tool annotations, by name")]
pub struct ToolFacts {
    /// The name its server gives it.
    pub name: String,
    /// The server it belongs to.
    pub server: ServerFacts,
    /// Where its definition stands.
    pub state: DefinitionState,
    /// SHA-256 of the approved definition.
    pub definition: Sha256Hex,
    /// It changes nothing.
    pub read_only: bool,
    /// It may destroy something.
    pub destructive: bool,
    /// Calling it twice is calling it once.
    pub idempotent: bool,
    /// It reaches beyond its own closed world.
    pub open_world: bool,
    /// The provider scopes it needs.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub scopes: BTreeSet<String>,
}

/// What the engine knows of a prompt or a resource.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct ItemFacts {
    /// Prompt name, resource URI, or URI template.
    pub name: String,
    /// The server it belongs to.
    pub server: ServerFacts,
}
