//! Which arguments reach the policies, and as what.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use policies::{AmbiguousArgument, ArgumentNames, CompiledSet, PolicySource, SourceFile, compile};
use serde_json::json;

fn set(conditions: &[&str]) -> CompiledSet {
    let policies = conditions.iter().enumerate().map(|(index, condition)| {
        format!(
            "@id(\"x{index}\") permit (principal is Ambit::Agent, action == Ambit::Action::\"callTool\", resource)\n\
             when {{ {condition} }};\n"
        )
    });
    let own = vec![SourceFile::new("own.cedar", policies.collect::<String>())];
    compile(&PolicySource::with_built_in(own)).unwrap_or_else(|error| panic!("{error}"))
}

fn names(conditions: &[&str]) -> ArgumentNames {
    set(conditions).argument_names().clone()
}

fn some(names: &[&str]) -> ArgumentNames {
    ArgumentNames::Some(names.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
fn names_are_found_in_the_policies() {
    assert_eq!(names(&[]), ArgumentNames::None);
    assert_eq!(names(&["context.args.hasTag(\"a\")", "!context.args.hasTag(\"b.c\")"]), some(&["a", "b.c"]));
    assert_eq!(names(&["if resource.readOnly then context.args.hasTag(\"a\") else true"]), some(&["a"]));
    let computed = "context.call has user && context.args.hasTag(context.call.user.email)";
    assert_eq!(names(&["context.args.hasTag(\"a\")", computed]), ArgumentNames::All);
}

#[test]
fn only_what_is_looked_into_is_picked() {
    let arguments = json!({"repo": "acme/site", "body": "long", "filter": {"path": "/etc", "n": 1}});
    let picked = some(&["repo", "filter.path", "absent"]).select(&arguments).unwrap();
    assert_eq!(serde_json::to_value(picked).unwrap(), json!({"repo": "acme/site", "filter.path": "/etc"}));
    assert!(ArgumentNames::None.select(&arguments).unwrap().is_empty());
    assert_eq!(ArgumentNames::All.select(&arguments).unwrap().len(), 5);
    assert!(ArgumentNames::All.select(&json!("no object")).unwrap().is_empty());
}

#[test]
fn another_type_is_no_way_out() {
    let names = some(&["path"]);
    let text = |value: serde_json::Value| names.select(&json!({ "path": value })).unwrap()["path"].clone();
    assert_eq!(text(json!("/etc")), "/etc");
    assert_eq!(text(json!(["/etc"])), "[\"/etc\"]");
    assert_eq!(text(json!({"to": "/etc"})), "{\"to\":\"/etc\"}");
    assert_eq!(text(json!(null)), "null");
    assert_eq!(text(json!(true)), "true");
    for one in ["1", "1.0", "1e0", "10e-1"] {
        assert_eq!(text(serde_json::from_str(one).unwrap()), "1", "{one}");
    }
    assert_eq!(text(json!(-0.5)), "-0.5");
}

#[test]
fn two_arguments_of_one_name_are_refused() {
    let names = some(&["a.b"]);
    let twice = json!({"a.b": "harmless", "a": {"b": "harmful"}});
    assert_eq!(names.select(&twice), Err(AmbiguousArgument("a.b".to_owned())));
    assert!(some(&["c"]).select(&twice).is_ok(), "nobody looks");
}
