//! What agents and people may ask to do.

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
    /// An agent acts for a person, through an OAuth client.
    ActFor,
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
    pub const ALL: [Self; 18] = [
        Self::ListTool,
        Self::CallTool,
        Self::ListPrompt,
        Self::GetPrompt,
        Self::ListResource,
        Self::ReadResource,
        Self::UseConnection,
        Self::ActFor,
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
            Self::ActFor => "actFor",
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
        self <= Self::ActFor
    }
}
