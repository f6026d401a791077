//! What is left of the policies when all but the call is known, held against what they decide.
#![cfg(feature = "author")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use policies::reach::{Can, Reaching};
use policies::{CompiledSet, PolicySource, SourceFile, compile, decide};
use schemas::decision::{Grants, Principal, ResourceFacts};
use schemas::inventory::Inventory;

mod facts;
mod random;

use random::Random;

fn inventory() -> Inventory {
    let mut oncall = facts::agent();
    oncall.name = "oncall".parse().unwrap();
    let mut bot = facts::agent();
    bot.grants = Grants { servers: ["github".parse().unwrap()].into(), ..Grants::default() };
    let tool = |server: &str, name: &str| facts::tool_facts(server, name);
    let mut delete = tool("github", "delete_repo");
    delete.destructive = true;
    Inventory {
        v: 1,
        org: facts::org("acme"),
        teams: Vec::new(),
        agents: vec![oncall, bot],
        users: vec![facts::user("ann")],
        servers: vec![facts::server("github"), facts::server("slack")],
        tools: vec![tool("slack", "post"), tool("github", "create_issue"), delete],
    }
}

fn set(own: &str) -> CompiledSet {
    compile(&PolicySource::with_built_in(vec![SourceFile::new("own.cedar", own)]))
        .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn what_is_left_of_a_policy_is_readable() {
    let set = set("@id(\"incidents\")
permit (principal == Ambit::Agent::\"oncall\", action in Ambit::Action::\"callTool\", resource == Ambit::Tool::\"slack/post\")
when { context.args.hasTag(\"channel\") && context.args.getTag(\"channel\") like \"C-INC-*\" };");
    let inventory = inventory();
    let reaching = Reaching::new(&set, &inventory).unwrap();
    let found = reaching.who_can("slack/post").unwrap();
    assert_eq!([found[0].can, found[1].can], [Can::Sometimes, Can::Never]);
    assert_eq!(found[0].when[0].all, ["context.args.getTag(\"channel\") like \"C-INC-*\""]);
    assert_eq!(found[0].when[0].policy, "incidents");
    // Scopes are not among the conditions: what a token is short of is a person's choice, not a policy's.
    assert!(found[0].unless.is_empty(), "{:?}", found[0].unless);

    let found = reaching.what_can("bot").unwrap();
    assert_eq!([found[0].can, found[1].can, found[2].can], [Can::Never, Can::Always, Can::Sometimes]);
    let asks: Vec<_> = found[2].unless.iter().map(|condition| condition.obligation.as_deref()).collect();
    assert_eq!(asks, [Some("approval:user"), None], "for nobody there is nobody to ask");

    assert!(reaching.what_can("bott").unwrap_err().contains("did you mean `bot`?"));
    assert!(reaching.who_can("slack/pots").unwrap_err().contains("did you mean `slack/post`?"));
}

#[test]
fn what_is_told_is_what_is_decided() {
    let mut random = Random(0x4eac4);
    let mut seen = [0; 3];
    for _ in 0..60 {
        let (set, text) = random.set();
        for _ in 0..12 {
            let call = random.call();
            let Principal::Agent(agent) = call.principal.clone() else { panic!("agents call") };
            let ResourceFacts::Tool(tool) = call.resource.clone() else { panic!("tools are called") };
            let inventory = Inventory { agents: vec![agent], tools: vec![tool], ..inventory() };
            let found = Reaching::new(&set, &inventory).unwrap().what_can("bot").unwrap();
            for _ in 0..15 {
                let mut other = random.call();
                other.principal = call.principal.clone();
                other.resource = call.resource.clone();
                let other = random::shown(&set, &other);
                let allowed = decide(&set, other.clone());
                // What cannot be evaluated is denied, whatever the policies would say.
                let errs =
                    allowed.as_ref().err().is_some_and(|denial| !denial.record().decision.errors.is_empty());
                match found[0].can {
                    Can::Always => assert!(allowed.is_ok() || errs, "{other:?}\n{found:?}\n{text}"),
                    Can::Never => assert!(allowed.is_err(), "{other:?}\n{found:?}\n{text}"),
                    Can::Sometimes => {}
                }
                seen[found[0].can as usize] += 1;
            }
        }
    }
    assert!(seen.iter().all(|count| *count > 300), "always, sometimes, never: {seen:?} are too one-sided");
}
