//! The decision record: the atom of the system. Explain, replay, shadow, audit and approval all read it.
//!
//! A record holds the request, the facts the engine was shown, the policy set by hash, and what it decided. That is enough to
//! explain the decision later and to run it again: the engine builds its entities from exactly these types, live and in replay.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{OrgId, Sha256Hex, Timestamp};
use crate::names::{AgentName, OrgName, ServerName, ToolboxName, UserName};

/// One decision, whole.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct DecisionRecord {
    /// Version of this shape.
    pub v: u8,
    /// What was asked.
    pub request: DecisionRequest,
    /// SHA-256 of the policy set that answered.
    pub policy_set: Sha256Hex,
    /// What it answered.
    pub decision: Decision,
}

/// What the engine is asked: may this principal do this to that, here and now?
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct DecisionRequest {
    /// Who.
    pub principal: AgentFacts,
    /// What.
    pub action: Action,
    /// To what.
    pub resource: ResourceFacts,
    /// Under which circumstances.
    pub context: ContextFacts,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Decision {
    /// Allow or deny.
    pub effect: Effect,
    /// The policies that decided, by id, sorted. Empty on a deny: nothing permitted.
    pub policies: Vec<String>,
    /// Policies that failed to evaluate. Any entry denies, whatever the rest says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// Values of `@advice` on the deciding forbids, sorted: stable words for machines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advice: Vec<String>,
    /// Values of `@obligation`, if every deciding forbid carries one: what would turn this into an allow.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub obligations: Vec<String>,
}

/// Allow or deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// At least one permit and no forbid.
    Allow,
    /// Everything else.
    Deny,
}

/// What an agent may ask to do. Each is an action of the Cedar schema, by the same name.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// See a tool in a list.
    ListTool,
    /// Call a tool.
    CallTool,
    /// See a prompt in a list.
    ListPrompt,
    /// Get a prompt, or complete its arguments.
    GetPrompt,
    /// See a resource or a resource template in a list.
    ListResource,
    /// Read a resource, subscribe to it, or complete the variables of its template.
    ReadResource,
}

impl Action {
    /// Every action, in the order of declaration.
    pub const ALL: [Self; 6] = [
        Self::ListTool,
        Self::CallTool,
        Self::ListPrompt,
        Self::GetPrompt,
        Self::ListResource,
        Self::ReadResource,
    ];

    /// The name in the Cedar schema and in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ListTool => "listTool",
            Self::CallTool => "callTool",
            Self::ListPrompt => "listPrompt",
            Self::GetPrompt => "getPrompt",
            Self::ListResource => "listResource",
            Self::ReadResource => "readResource",
        }
    }
}

/// Whether a principal, server or connection is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// In use.
    Active,
    /// Switched off; can come back.
    Suspended,
    /// Gone; kept because records refer to it.
    Deleted,
}

/// How far we trust who publishes a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// Our own.
    FirstParty,
    /// Reviewed.
    Verified,
    /// Widely used, not reviewed.
    Community,
    /// Anyone's.
    Untrusted,
}

/// Where a tool definition stands: only an approved one is listed and callable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DefinitionState {
    /// Seen, not looked at.
    New,
    /// Approved as it is.
    Approved,
    /// No longer what was approved.
    Changed,
    /// Refused.
    Quarantined,
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
    /// Plain grants that bear on this request, from the store: data, not policies, so that their number costs nothing.
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
}

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
}

impl ResourceFacts {
    /// The server it belongs to.
    pub fn server(&self) -> &ServerFacts {
        match self {
            Self::Tool(tool) => &tool.server,
            Self::Prompt(item) | Self::Resource(item) => &item.server,
        }
    }

    /// The name its server gives it: tool name, prompt name, or URI.
    pub fn name(&self) -> &str {
        match self {
            Self::Tool(tool) => &tool.name,
            Self::Prompt(item) | Self::Resource(item) => &item.name,
        }
    }
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

/// The circumstances of a request: `context.call` and `context.args`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct ContextFacts {
    /// The gateway's clock, never the client's.
    pub now: Timestamp,
    /// The organisation in the URL.
    pub org: OrgFacts,
    /// On behalf of whom, if anyone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserFacts>,
    /// The scopes of the token that was shown.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub token_scopes: BTreeSet<String>,
    /// Labels of what this conversation has already read, such as `secret`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub taint: BTreeSet<String>,
    /// A person's approval of exactly this call, already verified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// Arguments that some policy looks into, flattened (`a.b`), scalars as text. Others are not here: see the digest in the audit event.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
}

/// A verified approval.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Approval {
    /// Who approved.
    pub by: UserFacts,
    /// When.
    pub at: Timestamp,
}
