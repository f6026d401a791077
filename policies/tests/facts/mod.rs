//! A small world for tests and benchmarks: organisation `acme`, agent `bot` acting for `ann`, toolbox `dev` with server
//! `github` and tool `create_issue`, and nothing granted.

#![allow(unreachable_pub, reason = "shared by test binaries, a benchmark and the crate's own proofs")]
#![allow(dead_code, reason = "each test uses the part it needs")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test data is right or the test fails")]

use std::collections::{BTreeMap, BTreeSet};

use schemas::decision::{
    Action, AgentFacts, Approval, ConnectionFacts, ContextFacts, DecisionRequest, DefinitionState, Grants,
    ItemFacts, OrgFacts, Principal, ResourceFacts, ServerFacts, Status, ToolFacts, Trust, UserFacts,
};
use schemas::ids::{ConnectionId, OrgId, Sha256Hex, Timestamp};

/// 2026-11-23T00:00:00Z.
pub const NOW: Timestamp = Timestamp(1_795_392_000_000);

pub fn org(name: &str) -> OrgFacts {
    let seed = name.bytes().fold(0_u8, u8::wrapping_add);
    OrgFacts { id: OrgId::mint(Timestamp(1), [seed; 10]), name: name.parse().unwrap() }
}

pub fn user(name: &str) -> UserFacts {
    UserFacts {
        name: name.parse().unwrap(),
        org: org("acme"),
        status: Status::Active,
        email: format!("{name}@acme.test"),
        teams: BTreeSet::from(["eng".parse().unwrap()]),
        roles: BTreeSet::from(["owner".parse().unwrap()]),
    }
}

pub fn agent() -> AgentFacts {
    AgentFacts {
        name: "bot".parse().unwrap(),
        org: org("acme"),
        status: Status::Active,
        owner: Some("olga".parse().unwrap()),
        teams: BTreeSet::from(["bots".parse().unwrap()]),
        grants: Grants::default(),
    }
}

pub fn server(name: &str) -> ServerFacts {
    ServerFacts {
        name: name.parse().unwrap(),
        org: org("acme"),
        toolbox: "dev".parse().unwrap(),
        status: Status::Active,
        trust: Trust::Verified,
        provider: (name == "github").then(|| "github".parse().unwrap()),
    }
}

pub fn tool_facts(server_name: &str, name: &str) -> ToolFacts {
    ToolFacts {
        name: name.to_owned(),
        server: server(server_name),
        state: DefinitionState::Approved,
        definition: Sha256Hex::of(name.as_bytes()),
        read_only: false,
        destructive: false,
        idempotent: false,
        open_world: false,
        scopes: BTreeSet::from(["repo".to_owned()]),
    }
}

pub fn tool(server_name: &str, name: &str) -> ResourceFacts {
    ResourceFacts::Tool(tool_facts(server_name, name))
}

pub fn connection() -> ResourceFacts {
    ResourceFacts::Connection(ConnectionFacts {
        id: ConnectionId::mint(Timestamp(1), [7; 10]),
        org: org("acme"),
        owner: user("ann"),
        provider: "github".parse().unwrap(),
        status: Status::Active,
        scopes: BTreeSet::from(["repo".to_owned()]),
        shared: false,
        team: None,
    })
}

pub fn prompt() -> ResourceFacts {
    ResourceFacts::Prompt(ItemFacts { name: "review".to_owned(), server: server("github") })
}

pub fn resource() -> ResourceFacts {
    ResourceFacts::Resource(ItemFacts { name: "repo://acme/site".to_owned(), server: server("github") })
}

pub fn context() -> ContextFacts {
    ContextFacts {
        now: NOW,
        org: org("acme"),
        user: Some(user("ann")),
        token_scopes: BTreeSet::from(["tools".to_owned()]),
        taint: BTreeSet::new(),
        approval: None,
        args: BTreeMap::new(),
        input: BTreeMap::new(),
        client: None,
        server: None,
        tool: None,
        publication: None,
    }
}

pub fn approval(by: UserFacts, age: i64) -> Approval {
    Approval { by, at: NOW.plus(-age) }
}

/// `bot` calls `github/create_issue` for `ann`; the server is granted.
pub fn call() -> DecisionRequest {
    let mut principal = agent();
    principal.grants.servers.insert("github".parse().unwrap());
    DecisionRequest {
        principal: Principal::Agent(principal),
        action: Action::CallTool,
        resource: tool("github", "create_issue"),
        context: context(),
    }
}

/// The same for any action, on a resource of its kind; for actions of people, by `ann`, who is an owner.
pub fn request(action: Action) -> DecisionRequest {
    let resource = match action {
        Action::ListTool | Action::CallTool | Action::ApproveCall => tool("github", "create_issue"),
        Action::ListPrompt | Action::GetPrompt => prompt(),
        Action::ListResource | Action::ReadResource => resource(),
        Action::UseConnection | Action::Connect | Action::Revoke | Action::Share => connection(),
        Action::ActFor => ResourceFacts::User(user("olga")),
        Action::Administer
        | Action::Deploy
        | Action::ApproveTool
        | Action::PublishPolicy
        | Action::ReadPolicy
        | Action::ReadAudit => ResourceFacts::Org(org("acme")),
    };
    let mut request = DecisionRequest { action, resource, ..call() };
    if action == Action::UseConnection {
        request.context.tool = Some(Box::new(tool_facts("github", "create_issue")));
    }
    if action == Action::ActFor {
        request.context.client = Some("https://client.test/metadata.json".to_owned());
    }
    if !action.is_of_agents() {
        request.principal = Principal::User(user("ann"));
    }
    request
}

/// Everything an agent asks for.
pub fn agent_actions() -> impl Iterator<Item = Action> {
    Action::ALL.into_iter().filter(|action| action.is_of_agents())
}

pub fn agent_of(request: &mut DecisionRequest) -> &mut AgentFacts {
    match &mut request.principal {
        Principal::Agent(agent) => agent,
        Principal::User(_) => panic!("no agent"),
    }
}

pub fn server_of(resource: &mut ResourceFacts) -> &mut ServerFacts {
    match resource {
        ResourceFacts::Tool(tool) => &mut tool.server,
        ResourceFacts::Prompt(item) | ResourceFacts::Resource(item) => &mut item.server,
        ResourceFacts::Server(server) => server,
        ResourceFacts::Connection(_)
        | ResourceFacts::Org(_)
        | ResourceFacts::Toolbox(_)
        | ResourceFacts::User(_) => {
            panic!("no server")
        }
    }
}

pub fn tool_of(request: &mut DecisionRequest) -> &mut ToolFacts {
    let ResourceFacts::Tool(tool) = &mut request.resource else { panic!("no tool") };
    tool
}
