//! Proofs that need the inside: a slice with a hole in it, a set with a forbid missing.

use schemas::decision::{Action, Decision, DecisionRequest, Effect};

use crate::cases::CaseFile;
use crate::decision::{answer, evaluate_request};
use crate::slice::{self, Builder};
use crate::typed::Typed;
use crate::{CompiledSet, PolicySource, SourceFile, compile};

#[path = "../tests/facts/mod.rs"]
mod facts;

fn built_in() -> CompiledSet {
    compile(&PolicySource::with_built_in(Vec::new())).unwrap()
}

/// A request that uses every entity there can be: a user, an approver who is somebody else, arguments.
fn rich(action: Action) -> DecisionRequest {
    let mut request = facts::request(action);
    if !action.is_of_agents() {
        return request;
    }
    request.context.approval = Some(facts::approval(facts::user("boss"), 1_000));
    request.context.args.insert("repo".to_owned(), "acme/site".to_owned());
    request
}

#[test]
fn with_any_entity_missing_nothing_is_allowed() {
    let set = built_in();
    let typed = Typed::default();
    for action in Action::ALL {
        let request = rich(action);
        assert_eq!(
            evaluate_request(&set, &request).effect,
            Effect::Allow,
            "{action:?} is allowed when all is there"
        );
        let mut whole = Builder::new(&typed).unwrap();
        whole.request(&request).unwrap();
        assert!(whole.entities.len() >= if action.is_of_agents() { 5 } else { 2 });
        for index in 0..whole.entities.len() {
            let mut builder = Builder::new(&typed).unwrap();
            let parts = builder.request(&request).unwrap();
            let gone = builder.entities.remove(index).uid().clone();
            builder.present.retain(|uid| *uid != gone);
            let entities = builder.finish(&parts);
            let decision = answer(&set, entities.map(|entities| (parts, entities)));
            assert_eq!(decision.effect, Effect::Deny, "{action:?} without {gone}");
            assert!(
                decision.errors.iter().any(|error| error.contains("lacks")),
                "{action:?} without {gone}: {decision:?}"
            );
        }
    }
}

#[test]
fn without_the_completeness_check_errors_still_deny() {
    let set = built_in();
    let typed = Typed::default();
    for action in facts::agent_actions() {
        for kind in ["Ambit::Agent", "Ambit::User::\"ann\"", "Ambit::McpServer"] {
            let mut builder = Builder::new(&typed).unwrap();
            let parts = builder.request(&rich(action)).unwrap();
            let whole = builder.entities.len();
            builder.entities.retain(|entity| !entity.uid().to_string().starts_with(kind));
            if builder.entities.len() == whole {
                assert_eq!(
                    (action, kind),
                    (Action::ActFor, "Ambit::McpServer"),
                    "it has nothing to do with servers"
                );
                continue;
            }
            let slice = builder.finish_unchecked().map(|entities| (parts, entities));
            let Decision { effect, errors, .. } = answer(&set, slice);
            assert_eq!(effect, Effect::Deny, "{action:?} without {kind}");
            assert!(
                !errors.is_empty(),
                "{action:?} without {kind}: Cedar skips what errs, so this would have been an allow"
            );
        }
    }
}

/// `slice` builds Cedar's values itself; `cedar_policy` must find them closed, acyclic and as the schema wants them.
#[test]
fn what_is_built_is_what_cedar_would_build() {
    let schema = crate::vocabulary::schema().unwrap();
    for action in Action::ALL {
        let mut bare = facts::request(action);
        if action.is_of_agents() {
            bare.context.user = None;
            facts::agent_of(&mut bare).owner = None;
        }
        for request in [rich(action), bare] {
            let (parts, entities) = slice::build(&Typed::default(), &request).unwrap();
            let ours: Vec<cedar_policy::Entity> = entities.iter().cloned().collect();
            let theirs = cedar_policy::Entities::from_entities(ours, Some(schema)).unwrap();
            for entity in entities.iter() {
                let uid = entity.uid();
                assert!(theirs.get(&uid).unwrap().deep_eq(entity), "{uid}");
            }
            let asked = parts.into_cedar();
            cedar_policy::Request::new(
                asked.principal().unwrap().clone(),
                asked.action().unwrap().clone(),
                asked.resource().unwrap().clone(),
                asked.context().unwrap().clone(),
                Some(schema),
            )
            .unwrap_or_else(|error| panic!("{action:?}: {error}"));
        }
    }
}

#[test]
fn one_name_for_two_people_denies() {
    let mut request = facts::call();
    let mut impostor = facts::user("ann");
    impostor.org = facts::org("globex");
    request.context.approval = Some(facts::approval(impostor, 1_000));
    let decision = evaluate_request(&built_in(), &request);
    assert_eq!((decision.effect, decision.errors.len()), (Effect::Deny, 1), "{decision:?}");
}

#[test]
fn a_time_that_cedar_cannot_read_denies() {
    let mut request = facts::call();
    request.context.now = schemas::ids::Timestamp(i64::MAX);
    let decision = evaluate_request(&built_in(), &request);
    assert_eq!((decision.effect, decision.errors.len()), (Effect::Deny, 1), "{decision:?}");
}

#[test]
fn slicing_leaves_what_bears_on_the_resource() {
    let mut request = facts::call();
    facts::agent_of(&mut request).grants = schemas::decision::Grants {
        toolboxes: ["dev", "ops"].map(|name| name.parse().unwrap()).into(),
        servers: ["github", "jira"].map(|name| name.parse().unwrap()).into(),
        tools: ["github/create_issue", "github/other"].map(str::to_owned).into(),
    };
    crate::decision::slice_grants(&mut request);
    let grants = &facts::agent_of(&mut request).grants;
    assert_eq!((grants.toolboxes.len(), grants.servers.len(), grants.tools.len()), (1, 1, 1));
    assert!(grants.tools.contains("github/create_issue"));
}

/// Every forbid is needed: without it, some case no longer holds.
#[test]
fn no_guardrail_is_idle() {
    let source = PolicySource::with_built_in(Vec::new());
    let cases: Vec<CaseFile> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"))
        .unwrap()
        .map(|entry| CaseFile::parse(&std::fs::read_to_string(entry.unwrap().path()).unwrap()).unwrap())
        .collect();
    for file in &cases {
        let own = PolicySource::with_built_in(file.policies.clone()).with_tools(file.tools.clone());
        assert_eq!(file.run(&compile(&own).unwrap()), [], "with every guardrail in place");
    }
    let ids: Vec<String> = built_in().policies.policies().map(|policy| policy.id().to_string()).collect();
    for id in ids {
        let without: Vec<SourceFile> = source.files.iter().map(|file| without_policy(file, &id)).collect();
        assert_ne!(without, source.files, "{id} is in no file");
        let noticed = cases.iter().any(|file| {
            let files = without.iter().chain(&file.policies).cloned().collect();
            let set = compile(&PolicySource { files, tools: Vec::new() }.with_tools(file.tools.clone()))
                .unwrap_or_else(|error| panic!("without {id}: {error}"));
            !file.run(&set).is_empty()
        });
        assert!(noticed, "every case still holds without {id}");
    }
}

fn without_policy(file: &SourceFile, id: &str) -> SourceFile {
    let Some((before, policy)) = file.text.split_once(&format!("@id(\"{id}\")")) else { return file.clone() };
    let (_, after) = policy.split_once(";\n").unwrap_or_default();
    SourceFile::new(file.name.clone(), format!("{before}{after}"))
}
