//! What authors are told of their files besides what keeps them from being used; and what they are not told.
#![cfg(feature = "author")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use policies::check::{Circumstances, Finding, Severity, check, formatted};
use policies::{PolicySource, SourceFile, compile, decide};
use schemas::inventory::Inventory;

mod facts;
mod random;

use random::Random;

fn inventory() -> Inventory {
    let mut oncall = facts::agent();
    oncall.name = "oncall".parse().unwrap();
    Inventory {
        v: 1,
        org: facts::org("acme"),
        teams: Vec::new(),
        agents: vec![facts::agent(), oncall],
        users: vec![facts::user("ann")],
        servers: vec![facts::server("github")],
        tools: vec![facts::tool_facts("github", "create_issue")],
    }
}

/// Rule, line, and the words of every finding that is not about layout.
fn found(text: &str) -> Vec<(&'static str, usize, String)> {
    let source = PolicySource::with_built_in(vec![SourceFile::new("own.cedar", text)]);
    let source = source.with_tools([random::definition()]);
    let inventory = inventory();
    let circumstances = Circumstances { inventory: Some(&inventory), now: Some(facts::NOW) };
    let findings = check(&source, circumstances).unwrap();
    let told = findings.into_iter().filter(|finding| finding.rule != "format");
    told.map(|Finding { rule, problem, .. }| (rule, problem.line, problem.message)).collect()
}

fn rules(text: &str) -> Vec<&'static str> {
    found(text).into_iter().map(|(rule, ..)| rule).collect()
}

const HEAD: &str = "principal == Ambit::Agent::\"bot\", action in Ambit::Action::\"callTool\"";

#[test]
fn a_permit_of_what_is_permitted_anyway_is_told() {
    let wide = "@id(\"wide\") permit (principal is Ambit::Agent, action in [Ambit::Action::\"callTool\", Ambit::Action::\"listTool\"], resource is Ambit::Tool) when { resource.readOnly };";
    let narrow = format!(
        "@id(\"narrow\") permit ({HEAD}, resource == Ambit::Tool::\"github/create_issue\") when {{ context.call has user && resource.readOnly }};"
    );
    let told = found(&format!("{narrow}\n{wide}"));
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].0, told[0].1), ("shadowed", 1));
    assert!(told[0].2.contains("`wide` permits all of this already"), "{told:?}");
    // Of two that say the same, the second is told of.
    let twice = format!("{wide}\n{}", wide.replace("\"wide\"", "\"again\""));
    assert_eq!(
        found(&twice).iter().map(|(rule, line, _)| (*rule, *line)).collect::<Vec<_>>(),
        [("shadowed", 2)]
    );
    // Not the same: another condition, another action, another effect.
    for other in ["resource.destructive", "!(resource.readOnly)", "true"] {
        let other = format!("@id(\"other\") permit ({HEAD}, resource is Ambit::Tool) when {{ {other} }};");
        assert_eq!(rules(&format!("{other}\n{wide}")), [""; 0], "{other}");
    }
}

#[test]
fn a_permit_that_a_forbid_takes_back_is_told() {
    let permit = format!("@id(\"yes\") permit ({HEAD}, resource == Ambit::Tool::\"github/create_issue\");");
    let forbid = "@id(\"no\") forbid (principal, action, resource in Ambit::McpServer::\"github\");";
    assert_eq!(
        rules(&format!("{permit}\n{forbid}")),
        [""; 0],
        "whether the tool is of that server, the text does not say"
    );
    let forbid =
        "@id(\"no\") forbid (principal is Ambit::Agent, action in Ambit::Action::\"toolUse\", resource);";
    assert_eq!(rules(&format!("{permit}\n{forbid}")), ["useless"]);
    let forbid = "@id(\"no\") forbid (principal is Ambit::Agent, action in Ambit::Action::\"toolUse\", resource) unless { context.call has user };";
    assert_eq!(rules(&format!("{permit}\n{forbid}")), [""; 0]);
}

#[test]
fn names_that_are_not_there_are_told() {
    let told = found(
        "@id(\"x\")\nforbid (principal == Ambit::Agent::\"oncal\", action, resource)\nwhen { resource in Ambit::McpServer::\"gitlab\" };",
    );
    let told: Vec<_> = told.iter().map(|(rule, line, message)| (*rule, *line, message.as_str())).collect();
    assert_eq!(
        told,
        [
            ("unknown", 2, "there is no agent `oncal`; did you mean `oncall`?"),
            ("unknown", 3, "there is no server `gitlab`; did you mean `github`?"),
        ]
    );
    let nothing_near = found("@id(\"x\") forbid (principal in Ambit::Team::\"finance\", action, resource);");
    assert!(
        nothing_near[0].2.ends_with("if it is new, bring `inventory.json` up to date"),
        "{nothing_near:?}"
    );
    assert_eq!(
        rules(
            "@id(\"x\") forbid (principal in Ambit::Team::\"bots\", action, resource in Ambit::Toolbox::\"dev\");"
        ),
        [""; 0]
    );
}

#[test]
fn expiry_is_held_against_the_clock() {
    let with = |annotation: &str, condition: &str| {
        rules(&format!(
            "@id(\"x\") @expires(\"{annotation}\") permit ({HEAD}, resource is Ambit::Tool) when {{ {condition} }};"
        ))
    };
    let until = "context.call.now < datetime(\"2026-12-01T00:00:00Z\")";
    assert_eq!(with("2026-12-01T00:00:00Z", until), [""; 0]);
    assert_eq!(with("2026-12-01T00:00:00Z", "resource.readOnly"), ["expires"], "nothing ends it");
    assert_eq!(with("2026-11-01T00:00:00Z", until), ["expired"]);
    assert_eq!(with("soon", until), ["expires"]);
}

#[test]
fn layout_is_the_formatters() {
    let untidy = "// why\n@id(\"x\") permit (principal is Ambit::Agent,action in [Ambit::Action::\"callTool\"],resource);\n";
    let source = PolicySource::with_built_in(vec![SourceFile::new("own.cedar", untidy)]);
    let findings = check(&source, Circumstances::default()).unwrap();
    assert_eq!((findings.len(), findings[0].rule, findings[0].severity), (1, "format", Severity::Error));
    let tidy = formatted(untidy).unwrap();
    assert!(tidy.starts_with("// why\n@id(\"x\")\npermit (\n"), "{tidy}");
    assert_eq!(formatted(&tidy).unwrap(), tidy);
    let source = PolicySource::with_built_in(vec![SourceFile::new("own.cedar", tidy)]);
    assert_eq!(check(&source, Circumstances::default()).unwrap(), []);
    let off = format!("// @formatter:off\n{untidy}");
    assert_eq!(formatted(&off).unwrap(), off);
}

#[test]
fn what_cannot_be_used_is_an_error_with_its_place() {
    let told = found(
        "@id(\"x\")\npermit (principal == Ambit::User::\"ann\", action in [Ambit::Action::\"callTool\"], resource);",
    );
    assert!(told.iter().all(|(rule, line, _)| *rule == "invalid" && *line == 1), "{told:?}");
    assert!(
        told.iter().any(|(.., message)| message.contains("unable to find an applicable action")),
        "{told:?}"
    );
}

/// No false alarm: without a policy that is told of as covered, every random request is decided as with it.
#[test]
fn without_a_covered_policy_nothing_is_decided_otherwise() {
    let mut random = Random(0xc0fe);
    let (mut told, mut decided) = (0, 0);
    for _ in 0..120 {
        // Short conditions meet more often.
        let lines: Vec<String> = (0..5)
            .map(|index| {
                let line = random.policies().lines().next().unwrap().to_owned();
                let condition = random.condition(0, false);
                let head = line.split(" when ").next().unwrap().split(" unless ").next().unwrap();
                let head = head.replace("@id(\"x0\")", &format!("@id(\"p{index}\")"));
                if random.chance(30) { format!("{head};") } else { format!("{head} when {{ {condition} }};") }
            })
            .collect();
        let text = lines.join("\n");
        let compiled = |text: &str| {
            let source = PolicySource::with_built_in(vec![SourceFile::new("own.cedar", text)]);
            compile(&source.with_tools([random::definition()]))
        };
        let Ok(with) = compiled(&text) else { continue };
        for (rule, line, message) in found(&text) {
            if !matches!(rule, "shadowed" | "useless") {
                continue;
            }
            told += 1;
            let rest: Vec<&str> = lines
                .iter()
                .enumerate()
                .filter(|(index, _)| index + 1 != line)
                .map(|(_, text)| text.as_str())
                .collect();
            let Ok(without) = compiled(&rest.join("\n")) else { continue };
            for _ in 0..40 {
                let call = random.call();
                let allowed = |set| decide(set, random::shown(set, &call)).is_ok();
                assert_eq!(allowed(&with), allowed(&without), "{message}\n{text}\n{call:?}");
                decided += 1;
            }
        }
    }
    assert!(told > 15 && decided > 900, "{told} findings, {decided} requests");
}
