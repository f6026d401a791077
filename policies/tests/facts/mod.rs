//! A small world for tests and benchmarks: organisation `acme`, agent `bot` acting for `ann`, toolbox `dev` with server
//! `github` and tool `create_issue`, and nothing granted.

#![allow(unreachable_pub, reason = "shared by test binaries, a benchmark and the crate's own proofs")]
#![allow(dead_code, reason = "each test uses the part it needs")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "test data is right or the test fails")]

use std::collections::{BTreeMap, BTreeSet};

use schemas::decision::{
    Action, AgentFacts, Approval, ContextFacts, DecisionRequest, DefinitionState, Grants, ItemFacts,
    OrgFacts, ResourceFacts, ServerFacts, Status, ToolFacts, Trust, UserFacts,
};
use schemas::ids::{OrgId, Sha256Hex, Timestamp};

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
    }
}

pub fn agent() -> AgentFacts {
    AgentFacts {
        name: "bot".parse().unwrap(),
        org: org("acme"),
        status: Status::Active,
        owner: Some("olga".parse().unwrap()),
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
    }
}

pub fn tool(server_name: &str, name: &str) -> ResourceFacts {
    ResourceFacts::Tool(ToolFacts {
        name: name.to_owned(),
        server: server(server_name),
        state: DefinitionState::Approved,
        definition: Sha256Hex::of(name.as_bytes()),
        read_only: false,
        destructive: false,
        idempotent: false,
        open_world: false,
        scopes: BTreeSet::from(["repo".to_owned()]),
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
        principal,
        action: Action::CallTool,
        resource: tool("github", "create_issue"),
        context: context(),
    }
}

/// The same for any action, on a resource of its kind.
pub fn request(action: Action) -> DecisionRequest {
    let resource = match action {
        Action::ListTool | Action::CallTool => tool("github", "create_issue"),
        Action::ListPrompt | Action::GetPrompt => prompt(),
        Action::ListResource | Action::ReadResource => resource(),
    };
    DecisionRequest { action, resource, ..call() }
}

pub fn server_of(resource: &mut ResourceFacts) -> &mut ServerFacts {
    match resource {
        ResourceFacts::Tool(tool) => &mut tool.server,
        ResourceFacts::Prompt(item) | ResourceFacts::Resource(item) => &mut item.server,
    }
}

pub fn tool_of(request: &mut DecisionRequest) -> &mut ToolFacts {
    match &mut request.resource {
        ResourceFacts::Tool(tool) => tool,
        ResourceFacts::Prompt(_) | ResourceFacts::Resource(_) => panic!("no tool"),
    }
}
