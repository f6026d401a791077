//! Decisions against a model of them in plain Rust, over many random facts; and the golden matrix `access.txt`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, its helpers too; what is new fails it until it is thought of"
)]

use std::fmt::Write as _;

use policies::{CompiledSet, ListRequest, PolicySource, compile, decide, decide_many, replay};
use schemas::decision::{
    Action, DecisionRecord, DecisionRequest, DefinitionState, Effect, Principal, ResourceFacts, Status,
    UserFacts,
};

mod facts;

fn built_in() -> CompiledSet {
    compile(&PolicySource::with_built_in(Vec::new())).unwrap_or_else(|error| panic!("{error}"))
}

fn record(set: &CompiledSet, request: DecisionRequest) -> DecisionRecord {
    match decide(set, request) {
        Ok(permit) => permit.record().clone(),
        Err(denial) => denial.record().clone(),
    }
}

/// Marsaglia's xorshift: the same facts in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// Yes, `percent` times in a hundred.
    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn status(&mut self) -> Status {
        if self.chance(92) {
            Status::Active
        } else if self.chance(50) {
            Status::Suspended
        } else {
            Status::Deleted
        }
    }

    /// Names that would matter if anything were put together as text.
    fn name(&mut self) -> String {
        const NAMES: [&str; 6] = [
            "create_issue",
            "x\"); permit(principal, action, resource); //",
            "a\\\"b'c",
            "line\nbreak\u{2028}\u{202e}",
            "\u{1f98a}/::\"\u{0}",
            "",
        ];
        usize::try_from(self.below(6))
            .ok()
            .and_then(|index| NAMES.get(index))
            .map_or("", |name| name)
            .to_owned()
    }

    fn request(&mut self) -> DecisionRequest {
        let index = usize::try_from(self.below(6)).unwrap();
        let mut request = facts::request(Action::ALL[index]);
        let name = self.name();
        match &mut request.resource {
            ResourceFacts::Tool(tool) => {
                tool.name = name;
                tool.destructive = self.chance(30);
                tool.open_world = self.chance(40);
                tool.read_only = self.chance(50);
                if self.chance(10) {
                    tool.state = DefinitionState::Changed;
                }
            }
            ResourceFacts::Prompt(item) | ResourceFacts::Resource(item) => item.name = name,
            _ => unreachable!("the first six actions are on these"),
        }
        facts::server_of(&mut request.resource).status = self.status();
        let agent = facts::agent_of(&mut request);
        agent.status = self.status();
        if self.chance(5) {
            agent.org = facts::org("globex");
        }
        for org in [&mut facts::server_of(&mut request.resource).org, &mut request.context.org] {
            if self.chance(5) {
                *org = facts::org("globex");
            }
        }
        let name = request.resource.name().to_owned();
        let grants = &mut facts::agent_of(&mut request).grants;
        *grants = schemas::decision::Grants::default();
        if self.chance(30) {
            grants.toolboxes.insert(if self.chance(70) { "dev" } else { "ops" }.parse().unwrap());
        }
        if self.chance(30) {
            grants.servers.insert(if self.chance(70) { "github" } else { "jira" }.parse().unwrap());
        }
        if self.chance(50) {
            grants.tools.insert(format!("github/{name}"));
        }
        if self.chance(30) {
            grants.tools.insert(format!("github/{}", self.name()));
        }
        if self.chance(25) {
            request.context.user = None;
        } else if let Some(user) = &mut request.context.user {
            user.status = self.status();
            user.email = self.name();
            if self.chance(4) {
                user.org = facts::org("globex");
            }
        }
        if self.chance(20) {
            request.context.taint.insert("secret".to_owned());
        }
        if self.chance(40) {
            let by = request
                .context
                .user
                .clone()
                .filter(|_| self.chance(80))
                .unwrap_or_else(|| facts::user("boss"));
            let age = i64::try_from(self.below(400_000)).unwrap() - 20_000;
            request.context.approval = Some(facts::approval(by, age));
        }
        if self.chance(30) {
            request.context.args.insert(self.name(), self.name());
        }
        for scope in ["mcp:read", "mcp:write"] {
            if self.chance(20) {
                request.context.token_scopes.insert(scope.to_owned());
            }
        }
        request
    }
}

/// The guardrails and grants in plain Rust.
fn expected(request: &DecisionRequest) -> bool {
    let DecisionRequest { principal, action, resource, context } = request;
    let principal = principal.agent().unwrap();
    let server = resource.server().unwrap();
    let org = &principal.org.id;
    let user = context.user.as_ref();
    let tenant =
        *org == server.org.id && *org == context.org.id && user.is_none_or(|user| user.org.id == *org);
    let live = principal.status == Status::Active
        && server.status == Status::Active
        && user.is_none_or(|user| user.status == Status::Active);
    let approved = || {
        context.approval.as_ref().is_some_and(|approval| {
            let age = context.now.0 - approval.at.0;
            Some(&approval.by) == user && (0..300_000).contains(&age)
        })
    };
    let guarded = match resource {
        ResourceFacts::Tool(tool) => {
            let risky = tool.destructive || (tool.open_world && context.taint.contains("secret"));
            let has = |scope| context.token_scopes.contains(scope);
            let within_scope = tool.read_only || has("mcp:write") || !has("mcp:read");
            let called = *action == Action::ListTool || (within_scope && (!risky || approved()));
            tool.state == DefinitionState::Approved && called
        }
        _ => true,
    };
    let granted = principal.grants.toolboxes.contains(&server.toolbox)
        || principal.grants.servers.contains(&server.name)
        || (matches!(resource, ResourceFacts::Tool(_))
            && principal.grants.tools.contains(&format!("{}/{}", server.name, resource.name())));
    tenant && live && guarded && granted
}

#[test]
fn decisions_are_what_a_plain_model_says() {
    let set = built_in();
    let mut random = Random(0x2026_1123);
    let mut allowed = 0;
    for round in 0..3_000 {
        let request = random.request();
        let should = expected(&request);
        let record = record(&set, request);
        let decision = &record.decision;
        assert_eq!(decision.effect == Effect::Allow, should, "round {round}: {record:#?}");
        assert_eq!(decision.errors, Vec::<String>::new(), "round {round}");
        assert_eq!(
            decision.policies.is_empty(),
            decision.effect == Effect::Deny && decision.advice.is_empty()
        );
        allowed += usize::from(should);

        let stored = serde_json::to_string(&record).unwrap();
        let read: DecisionRecord = serde_json::from_str(&stored).unwrap();
        assert_eq!(
            &replay(&set, &read),
            decision,
            "round {round}: the record alone gives the decision again"
        );
    }
    assert!((500..2_500).contains(&allowed), "{allowed} of 3000 allowed: the facts are too one-sided");
}

#[test]
fn a_list_decides_as_its_members_do() {
    let set = built_in();
    let mut random = Random(7);
    for round in 0..60 {
        let common = random.request();
        let resources: Vec<ResourceFacts> = std::iter::repeat_with(|| random.request())
            .filter(|request| request.action == common.action)
            .map(|request| request.resource)
            .take(12)
            .collect();
        let list = ListRequest {
            principal: common.principal.agent().unwrap().clone(),
            action: common.action,
            context: common.context.clone(),
        };
        let together = decide_many(&set, &list, &resources);
        for (resource, decision) in resources.iter().zip(&together) {
            let alone = DecisionRequest { resource: resource.clone(), ..common.clone() };
            assert_eq!(&record(&set, alone).decision, decision, "round {round}");
        }
        assert_eq!(together.len(), resources.len());
    }
}

/// Principal x action x resource, for people to review: a change of a policy shows up here as a change of lines.
#[test]
fn the_golden_matrix_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/access.txt");
    let matrix = matrix();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(path, &matrix).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        golden == matrix,
        "access.txt differs; run `UPDATE_GOLDEN=1 cargo test -p policies`, and review the difference"
    );
}

fn matrix() -> String {
    type Change = fn(&mut DecisionRequest);
    let principals: [(&str, Change); 12] = [
        ("no grant", |r| facts::agent_of(r).grants = schemas::decision::Grants::default()),
        ("toolbox", |r| {
            facts::agent_of(r).grants = schemas::decision::Grants::default();
            facts::agent_of(r).grants.toolboxes.insert("dev".parse().unwrap());
        }),
        ("server", |_| {}),
        ("tool", |r| {
            facts::agent_of(r).grants = schemas::decision::Grants::default();
            facts::agent_of(r).grants.tools.insert("github/create_issue".to_owned());
        }),
        ("server, for nobody", |r| r.context.user = None),
        ("server, approved", |r| r.context.approval = Some(facts::approval(facts::user("ann"), 1_000))),
        ("server, to read", |r| {
            r.context.token_scopes = ["mcp:read".to_owned()].into();
        }),
        ("server, to write", |r| {
            r.context.token_scopes = ["mcp:write".to_owned()].into();
        }),
        ("server, both", |r| {
            r.context.token_scopes = ["mcp:read", "mcp:write"].map(str::to_owned).into();
        }),
        ("server, suspended", |r| facts::agent_of(r).status = Status::Suspended),
        ("server, user gone", |r| r.context.user.as_mut().unwrap().status = Status::Deleted),
        ("server, other org", |r| facts::agent_of(r).org = facts::org("globex")),
    ];
    let resources: [(&str, Change); 6] = [
        ("plain", |_| {}),
        ("reads only", |r| facts::tool_of(r).read_only = true),
        ("destructive", |r| facts::tool_of(r).destructive = true),
        ("open world after a secret", |r| {
            facts::tool_of(r).open_world = true;
            r.context.taint.insert("secret".to_owned());
        }),
        ("changed definition", |r| facts::tool_of(r).state = DefinitionState::Changed),
        ("server off", |r| facts::server_of(&mut r.resource).status = Status::Suspended),
    ];
    let set = built_in();
    let mut text =
        "# Who may do what under the built-in policies: agent and its grant | action | resource | decision\n\
                    # Written by tests/decisions.rs: `UPDATE_GOLDEN=1 cargo test -p policies`.\n"
            .to_owned();
    for (who, principal) in principals {
        for action in facts::agent_actions().filter(|action| action < &Action::UseConnection) {
            for (what, resource) in resources {
                let mut request = facts::request(action);
                let tool = matches!(request.resource, ResourceFacts::Tool(_));
                if !tool && !matches!(what, "plain" | "server off") {
                    continue;
                }
                principal(&mut request);
                resource(&mut request);
                let decision = record(&set, request).decision;
                let effect = if decision.effect == Effect::Allow { "allow" } else { "DENY " };
                let why = if decision.policies.is_empty() {
                    "nothing permits".into()
                } else {
                    decision.policies.join(", ")
                };
                let asks = decision.obligations.join(", ");
                let asks = if asks.is_empty() { asks } else { format!(" -> asks {asks}") };
                let action = action.as_str();
                writeln!(text, "{who:<18} | {action:<12} | {what:<25} | {effect} {why}{asks}").unwrap();
            }
        }
    }
    text.push_str(&acting(&set));
    for role in ["owner", "policy-author", "operator", "auditor", "member"] {
        for action in Action::ALL.into_iter().filter(|action| !action.is_of_agents()) {
            for other in [false, true] {
                let mut request = facts::request(action);
                let mut person = facts::user(if other { "zoe" } else { "ann" });
                person.roles = [role.parse().unwrap()].into();
                request.principal = Principal::User(person.clone());
                let whose = match &mut request.resource {
                    ResourceFacts::Connection(connection) => {
                        connection.owner = if other { facts::user("ann") } else { person };
                        if other { "somebody else's" } else { "their own" }
                    }
                    ResourceFacts::Tool(_) => {
                        request.context.user = Some(if other { facts::user("ann") } else { person });
                        if other { "for somebody else" } else { "for themselves" }
                    }
                    _ if other => continue,
                    _ => "organisation",
                };
                let decision = record(&set, request).decision;
                let effect = if decision.effect == Effect::Allow { "allow" } else { "DENY " };
                let why = decision.policies.join(", ");
                let why = if why.is_empty() { "nothing permits" } else { &why };
                writeln!(text, "{role:<18} | {:<13} | {whose:<24} | {effect} {why}", action.as_str())
                    .unwrap();
            }
        }
    }
    text
}

/// Whose agents act for whom.
fn acting(set: &CompiledSet) -> String {
    let mut text = String::new();
    for owner in [None, Some("ann"), Some("bob")] {
        type Change = fn(&mut UserFacts);
        let people: [(&str, Change); 3] = [
            ("ann", |_| {}),
            ("ann, suspended", |ann| ann.status = Status::Suspended),
            ("ann of another org", |ann| ann.org = facts::org("globex")),
        ];
        for (whom, change) in people {
            let mut request = facts::request(Action::ActFor);
            let mut ann = facts::user("ann");
            change(&mut ann);
            request.context.user = None;
            request.resource = ResourceFacts::User(ann);
            facts::agent_of(&mut request).owner = owner.map(|name| name.parse().unwrap());
            let decision = record(set, request).decision;
            let effect = if decision.effect == Effect::Allow { "allow" } else { "DENY " };
            let why = decision.policies.join(", ");
            let why = if why.is_empty() { "nothing permits" } else { &why };
            let who = owner.map_or_else(|| "nobody's agent".to_owned(), |owner| format!("{owner}'s agent"));
            writeln!(text, "{who:<18} | {:<12} | {whom:<25} | {effect} {why}", Action::ActFor.as_str())
                .unwrap();
        }
    }
    text
}
