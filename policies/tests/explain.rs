//! Explanations say what the policies saw, and the smallest permit allows one request and no other.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use policies::explain::Holds;
use policies::{ArgumentNames, CompiledSet, PolicySource, SourceFile, compile, decide, explain};
use schemas::decision::{DecisionRequest, Effect, Grants};
use serde_json::json;

mod facts;
mod random;

use random::Random;

fn set(own: &str) -> CompiledSet {
    let source = PolicySource::with_built_in(vec![SourceFile::new("own.cedar", own)]);
    compile(&source.with_tools([random::definition()])).unwrap_or_else(|error| panic!("{error}"))
}

fn allowed(set: &CompiledSet, request: DecisionRequest) -> bool {
    decide(set, request).is_ok()
}

const INCIDENTS: &str = "@id(\"incidents\")
permit (principal == Ambit::Agent::\"bot\", action in Ambit::Action::\"callTool\", resource)
when {
  context.args.hasTag(\"channel\") &&
  context.args.getTag(\"channel\") like \"C-INC-*\"
}
unless { resource.destructive };
";

fn ungranted() -> DecisionRequest {
    let mut request = facts::call();
    facts::agent_of(&mut request).grants = Grants::default();
    request
}

#[test]
fn a_near_miss_shows_the_clause_and_what_it_saw() {
    let set = set(INCIDENTS);
    let mut request = ungranted();
    request.context.args.insert("channel".to_owned(), "C-GENERAL".to_owned());
    let explanation = explain(&set, &request, None);
    assert_eq!(explanation.summary, "denied: nothing permits it");
    let near = explanation.near.iter().find(|reading| reading.id == "incidents").unwrap();
    assert_eq!((near.file.as_str(), near.line), ("own.cedar", 1));
    let clause = |index: usize| &near.clauses[index];
    assert_eq!([clause(0).holds, clause(1).holds, clause(2).holds], [Holds::Yes, Holds::No, Holds::Yes]);
    assert_eq!(clause(1).text, "context.args.getTag(\"channel\") like \"C-INC-*\"");
    assert_eq!(clause(1).line, Some(5));
    assert_eq!(clause(1).saw[0].value.as_deref(), Some("\"C-GENERAL\""));
    assert_eq!(clause(2).text, "!(resource.destructive)");
    assert!(explanation.way_out[0].contains("grants/tool/github/create_issue"), "{:?}", explanation.way_out);

    request.context.args.clear();
    let explanation = explain(&set, &request, None);
    let near = explanation.near.iter().find(|reading| reading.id == "incidents").unwrap();
    assert_eq!([near.clauses[0].holds, near.clauses[1].holds], [Holds::No, Holds::NotReached]);
    assert_eq!(near.clauses[0].saw[0].value, None, "there is no such argument");
}

#[test]
fn whoever_decided_is_told_with_what_it_saw() {
    let set = set(INCIDENTS);
    let mut request = facts::call();
    let explanation = explain(&set, &request, None);
    assert_eq!(explanation.summary, "allowed by `p-grants`");
    assert!(
        explanation.near.is_empty()
            && explanation.smallest_permit.is_none()
            && explanation.way_out.is_empty()
    );

    facts::tool_of(&mut request).destructive = true;
    let explanation = explain(&set, &request, None);
    assert_eq!(explanation.summary, "denied by `g4-approval`, until a person approves");
    assert_eq!(explanation.deciding[0].id, "g4-approval");
    assert!(explanation.way_out[0].contains("approves exactly this call"), "{:?}", explanation.way_out);
    assert!(explanation.smallest_permit.is_none(), "no permit helps against a forbid");

    facts::tool_of(&mut request).state = schemas::decision::DefinitionState::Changed;
    let explanation = explain(&set, &request, None);
    assert_eq!(
        explanation.deciding.iter().map(|reading| reading.id.as_str()).collect::<Vec<_>>(),
        ["g3-approved-definitions", "g4-approval"]
    );
    assert!(explanation.way_out.iter().any(|way| way.contains("approve it")), "{:?}", explanation.way_out);
}

#[test]
fn the_smallest_permit_pins_what_was_given() {
    let set = set("");
    let request = ungranted();
    let given = json!({ "title": "a \"quoted\" one", "labels": ["x"] });
    let permit = explain(&set, &request, Some(&given)).smallest_permit.unwrap();
    assert_eq!(permit.id, "allow-bot-github/create_issue");
    assert!(permit.open.is_empty());
    let own = compile(&PolicySource::with_built_in(vec![SourceFile::new(
        "own.cedar",
        format!("@id(\"{}\")\n{}", permit.id, permit.text.split_once('\n').unwrap().1),
    )]))
    .unwrap_or_else(|error| panic!("{error}"));
    let with = |arguments: serde_json::Value| {
        let mut request = ungranted();
        request.context.args = own.argument_names().select(&arguments).unwrap();
        allowed(&own, request)
    };
    assert!(with(given.clone()));
    assert!(!with(json!({ "title": "another", "labels": ["x"] })));
    assert!(!with(json!({ "title": "a \"quoted\" one", "labels": ["x", "y"] })));
    assert!(!with(json!({})));
}

/// For random sets and requests: with the smallest permit added, that request is allowed, and newly allowed is no other.
#[test]
fn the_smallest_permit_allows_one_request_and_no_other() {
    let mut random = Random(0xa11);
    let (mut permits, mut others) = (0, 0);
    for _ in 0..120 {
        let (before, text) = random.set();
        for _ in 0..12 {
            let asked = random.call_for(&before);
            let explanation = explain(&before, &asked, None);
            assert_eq!(allowed(&before, asked.clone()), explanation.decision.effect == Effect::Allow);
            let Some(permit) = explanation.smallest_permit else { continue };
            permits += 1;
            let own = format!("{text}\n{}", permit.text);
            let source = PolicySource::with_built_in(vec![SourceFile::new("own.cedar", &own)]);
            let after = compile(&source.with_tools([random::definition()]))
                .unwrap_or_else(|error| panic!("{error}\n{own}"));
            assert!(allowed(&after, asked.clone()), "{own}\n{asked:?}");
            if *before.argument_names() == ArgumentNames::All {
                assert!(permit.open.iter().any(|open| open.contains("further arguments")));
                continue;
            }
            for _ in 0..25 {
                let mut other = random.call();
                match random.below(4) {
                    0 => facts::agent_of(&mut other).name = "other".parse().unwrap(),
                    1 => facts::tool_of(&mut other).name = "other".to_owned(),
                    _ => {}
                }
                let (old, new) = (random::shown(&before, &other), random::shown(&after, &other));
                if allowed(&before, old) || !allowed(&after, new.clone()) {
                    continue;
                }
                others += 1;
                let name =
                    |request: &DecisionRequest| request.context.user.as_ref().map(|user| user.name.clone());
                let same = new.principal.name() == asked.principal.name()
                    && new.resource.name() == asked.resource.name()
                    && name(&new) == name(&asked)
                    && new.context.args == asked.context.args
                    && new.context.input == asked.context.input;
                assert!(same, "newly allowed:\n{new:?}\nby the smallest permit for:\n{asked:?}\n{own}");
            }
        }
    }
    assert!(permits > 100, "only {permits} smallest permits");
    assert!(others > 0, "no random request ever hit one");
}
