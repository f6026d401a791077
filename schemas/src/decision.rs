//! The decision record: the atom of the system. Explain, replay, shadow, audit and approval all read it.
//!
//! A record holds the request, the facts the engine was shown, the policy set by hash, and what it decided. That is enough to
//! explain the decision later and to run it again: the engine builds its entities from exactly these types, live and in replay.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{ConnectionId, OrgId, Sha256Hex, Timestamp};
use crate::names::{
    AgentName, OrgName, ProviderName, RoleName, ServerName, TeamName, ToolboxName, UserName,
};

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
    /// What a draft beside it would have answered, while one is on trial. It decides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow>,
}

/// What a draft on trial would have answered.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Shadow {
    /// SHA-256 of the draft.
    pub policy_set: Sha256Hex,
    /// Its answer.
    pub decision: Decision,
}

/// What the engine is asked: may this principal do this to that, here and now?
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct DecisionRequest {
    /// Who.
    pub principal: Principal,
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

/// What may be asked for. Each is an action of the Cedar schema, by the same name.
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
    /// An agent sees a tool in a list.
    ListTool,
    /// An agent calls a tool. Where policies look into typed arguments of the tool, Cedar is asked for the action below this one
    /// that has the tool's id.
    CallTool,
    /// An agent sees a prompt in a list.
    ListPrompt,
    /// An agent gets a prompt, or completes its arguments.
    GetPrompt,
    /// An agent sees a resource or a resource template in a list.
    ListResource,
    /// An agent reads a resource, subscribes to it, or completes the variables of its template.
    ReadResource,
    /// An agent uses a person's account for a tool.
    UseConnection,
    /// A person connects an account.
    Connect,
    /// A person ends a connection.
    Revoke,
    /// A person lets others use their account.
    Share,
    /// A person approves a call of an agent.
    ApproveCall,
    /// A person manages people, teams, agents, keys and grants.
    Administer,
    /// A person manages servers and toolboxes.
    Deploy,
    /// A person approves tool definitions.
    ApproveTool,
    /// A person publishes, proposes, rolls back or tries out policies.
    PublishPolicy,
    /// A person reads policies.
    ReadPolicy,
    /// A person reads the trail.
    ReadAudit,
}

impl Action {
    /// Every action, in the order of declaration.
    pub const ALL: [Self; 17] = [
        Self::ListTool,
        Self::CallTool,
        Self::ListPrompt,
        Self::GetPrompt,
        Self::ListResource,
        Self::ReadResource,
        Self::UseConnection,
        Self::Connect,
        Self::Revoke,
        Self::Share,
        Self::ApproveCall,
        Self::Administer,
        Self::Deploy,
        Self::ApproveTool,
        Self::PublishPolicy,
        Self::ReadPolicy,
        Self::ReadAudit,
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
            Self::UseConnection => "useConnection",
            Self::Connect => "connect",
            Self::Revoke => "revoke",
            Self::Share => "share",
            Self::ApproveCall => "approveCall",
            Self::Administer => "administer",
            Self::Deploy => "deploy",
            Self::ApproveTool => "approveTool",
            Self::PublishPolicy => "publishPolicy",
            Self::ReadPolicy => "readPolicy",
            Self::ReadAudit => "readAudit",
        }
    }

    /// Whether agents ask for it; the others are for people.
    pub fn is_of_agents(self) -> bool {
        self <= Self::UseConnection
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
}

impl ResourceFacts {
    /// The server it belongs to or is.
    pub fn server(&self) -> Option<&ServerFacts> {
        match self {
            Self::Tool(tool) => Some(&tool.server),
            Self::Prompt(item) | Self::Resource(item) => Some(&item.server),
            Self::Server(server) => Some(server),
            Self::Connection(_) | Self::Org(_) | Self::Toolbox(_) => None,
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
            | Self::Server(_) => None,
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
    /// Whether its owner lets others use it.
    #[serde(default)]
    pub shared: bool,
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

/// The circumstances of a request: `context.call`, `context.args` and `context.input`.
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
    /// Arguments that some policy looks into by their types (`context.input`), by name, as they were sent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub input: BTreeMap<String, serde_json::Value>,
    /// The tool that a connection is used for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<Box<ToolFacts>>,
    /// What a publication does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publication: Option<Publication>,
}

/// What a publication of policies does, beyond adding permits.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Publication {
    /// A forbid that was there is gone, or is not the same any more.
    #[serde(default)]
    pub removes_forbid: bool,
    /// Who proposed it, if another accepts it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposed_by: Option<UserFacts>,
    /// Somebody who is alone says so, and why, on record.
    #[serde(default)]
    pub break_glass: bool,
}

impl ContextFacts {
    /// Nothing but when and where.
    pub fn at(now: Timestamp, org: OrgFacts) -> Self {
        Self {
            now,
            org,
            user: None,
            token_scopes: BTreeSet::new(),
            taint: BTreeSet::new(),
            approval: None,
            args: BTreeMap::new(),
            input: BTreeMap::new(),
            tool: None,
            publication: None,
        }
    }
}

/// A verified approval.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Approval {
    /// Who approved.
    pub by: UserFacts,
    /// When.
    pub at: Timestamp,
}
