//! What is measured, natively by `decide.rs` and in wasm by `wasm/`: decisions, lists, and making a policy set ready.
//!
//! A decision is measured whole, as the gateway uses it: from owned facts to a `Permit` with its record. Cloning the facts is
//! not counted, freeing them is. Grants come in three ways:
//! - sliced: the agent has N grants, the store hands over those that bear on the call (at most three). This is the product's way.
//! - flat: the facts hold all N, and `decide` slices them itself.
//! - as policies, one permit per tool: the engine asks only those whose scope names the agent and the tool.

#![allow(unreachable_pub, reason = "shared by a benchmark and a package")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a benchmark that cannot start says why")]

use std::rc::Rc;

use policies::{CompiledSet, ListRequest, PolicySource, compile, decide, decide_many, replay};
use schemas::decision::{Action, DecisionRequest, Effect, Grants, ResourceFacts};

#[path = "../../tests/facts/mod.rs"]
mod facts;
mod sets;

/// One thing to do, with everything that it needs. It panics if the answer is not the expected one.
pub type Job = Box<dyn FnOnce()>;

/// Makes jobs, all alike.
pub type Source = Box<dyn Fn() -> Job>;

/// Something to measure.
#[derive(Clone, Copy)]
pub struct Workload {
    /// What it is, for a table.
    pub name: &'static str,
    /// Makes ready what all its jobs share.
    pub start: fn() -> Source,
}

/// Everything that is measured, in the order of the table.
pub const ALL: [Workload; 18] = [
    Workload { name: "decide: 10 grants, sliced", start: || decide_built_in(sliced(10)) },
    Workload { name: "decide: 1,000 grants, sliced", start: || decide_built_in(sliced(1_000)) },
    Workload { name: "decide: 10,000 grants, sliced", start: || decide_built_in(sliced(10_000)) },
    Workload { name: "decide: 10 grants, flat", start: || decide_built_in(flat(10)) },
    Workload { name: "decide: 1,000 grants, flat", start: || decide_built_in(flat(1_000)) },
    Workload { name: "decide: 10,000 grants, flat", start: || decide_built_in(flat(10_000)) },
    Workload { name: "decide: 10 policies", start: || decide_as_policies(10) },
    Workload { name: "decide: 1,000 policies", start: || decide_as_policies(1_000) },
    Workload { name: "decide: typed arguments", start: decide_typed },
    Workload { name: "decide: a person publishes", start: || decide_built_in(publication()) },
    Workload { name: "decide: denied", start: denied },
    Workload { name: "decide: replayed", start: replayed },
    Workload { name: "list of 500 tools: server granted", start: || list(the_server()) },
    Workload { name: "list of 500 tools: each granted", start: || list(grants(500)) },
    Workload {
        name: "compile: the built-in set",
        start: || compiling(PolicySource::with_built_in(Vec::new())),
    },
    Workload { name: "compile: with 5 typed tools", start: || compiling(sets::typed(5)) },
    Workload { name: "compile: with 100 policies", start: || compiling(sets::as_policies(100)) },
    Workload { name: "compile: with 1,000 policies", start: || compiling(sets::as_policies(1_000)) },
];

fn ready(source: &PolicySource) -> Rc<CompiledSet> {
    Rc::new(compile(source).unwrap_or_else(|error| panic!("{error}")))
}

fn built_in() -> Rc<CompiledSet> {
    ready(&PolicySource::with_built_in(Vec::new()))
}

/// All grants of an agent: `count` single tools, the called one in the middle.
fn grants(count: usize) -> Grants {
    let tools = (0..count).map(|index| format!("github/tool{index}"));
    Grants { tools: tools.collect(), ..Grants::default() }
}

fn the_server() -> Grants {
    Grants { servers: ["github".parse().unwrap()].into(), ..Grants::default() }
}

fn flat(count: usize) -> DecisionRequest {
    let mut request = facts::call();
    request.resource = facts::tool("github", &format!("tool{}", count / 2));
    facts::agent_of(&mut request).grants = grants(count);
    request
}

/// What the store hands over: the one grant among `count` that bears on the call.
fn sliced(count: usize) -> DecisionRequest {
    let mut request = flat(count);
    let tool = format!("github/tool{}", count / 2);
    facts::agent_of(&mut request).grants.tools.retain(|granted| *granted == tool);
    request
}

/// An owner publishes policies.
fn publication() -> DecisionRequest {
    facts::request(Action::PublishPolicy)
}

fn decide_built_in(request: DecisionRequest) -> Source {
    permitted(built_in(), request)
}

/// The facts hold no grant: what permits is one of the policies.
fn decide_as_policies(count: usize) -> Source {
    let mut request = flat(count);
    facts::agent_of(&mut request).grants = Grants::default();
    permitted(ready(&sets::as_policies(count)), request)
}

fn decide_typed() -> Source {
    let source = sets::typed(5);
    let mut request = facts::call();
    facts::agent_of(&mut request).grants = Grants::default();
    request.resource = facts::tool("slack", "post0");
    let tool = facts::tool_of(&mut request);
    tool.definition = source.tools.first().unwrap().pin();
    let set = ready(&source);
    request.context.input = set.select_input(facts::tool_of(&mut request), &sets::arguments());
    assert!(!request.context.input.is_empty());
    permitted(set, request)
}

fn permitted(set: Rc<CompiledSet>, request: DecisionRequest) -> Source {
    Box::new(move || {
        let (set, request) = (Rc::clone(&set), request.clone());
        Box::new(move || assert!(decide(&set, request).is_ok(), "it is permitted"))
    })
}

fn denied() -> Source {
    let set = built_in();
    let mut request = facts::call();
    facts::agent_of(&mut request).grants = Grants::default();
    Box::new(move || {
        let (set, request) = (Rc::clone(&set), request.clone());
        Box::new(move || assert!(decide(&set, request).is_err(), "nobody permits it"))
    })
}

fn replayed() -> Source {
    let set = built_in();
    let permit = decide(&set, sliced(10)).unwrap();
    let record = Rc::new(permit.record().clone());
    Box::new(move || {
        let (set, record) = (Rc::clone(&set), Rc::clone(&record));
        Box::new(move || assert_eq!(replay(&set, &record), record.decision))
    })
}

fn list(granted: Grants) -> Source {
    let set = built_in();
    let tools: Rc<[ResourceFacts]> =
        (0..500).map(|index| facts::tool("github", &format!("tool{index}"))).collect();
    let principal = schemas::decision::AgentFacts { grants: granted, ..facts::agent() };
    let list = Rc::new(ListRequest { principal, action: Action::ListTool, context: facts::context() });
    Box::new(move || {
        let (set, list, tools) = (Rc::clone(&set), Rc::clone(&list), Rc::clone(&tools));
        Box::new(move || {
            let decisions = decide_many(&set, &list, tools.iter());
            assert!(decisions.iter().all(|decision| decision.effect == Effect::Allow));
        })
    })
}

fn compiling(source: PolicySource) -> Source {
    let source = Rc::new(source);
    Box::new(move || {
        let source = Rc::clone(&source);
        Box::new(move || drop(ready(&source)))
    })
}
