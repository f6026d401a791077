//! What is foreseen is what is decided, whatever the unknown arguments turn out to be.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use std::collections::BTreeSet;

use policies::{
    ArgumentNames, CompiledSet, Foresight, Known, PolicySource, SourceFile, compile, decide, foresee,
};
use schemas::decision::{Decision, DecisionRequest};

mod facts;
mod random;

use random::Random;

fn decision(set: &CompiledSet, request: DecisionRequest) -> Decision {
    match decide(set, request) {
        Ok(permit) => permit.record().decision.clone(),
        Err(denial) => denial.record().decision.clone(),
    }
}

fn names(random: &mut Random, all: &[&str]) -> ArgumentNames {
    match random.below(5) {
        0 => ArgumentNames::None,
        1 => ArgumentNames::All,
        _ => {
            let some: BTreeSet<String> =
                all.iter().filter(|_| random.chance(50)).map(|name| (*name).to_owned()).collect();
            ArgumentNames::Some(some)
        }
    }
}

#[test]
fn what_is_foreseen_is_what_is_decided() {
    let mut random = Random(0x5eed);
    let mut seen = [0_u32; 3];
    for _ in 0..150 {
        let (set, text) = random.set();
        for _ in 0..60 {
            let whole = random.call_for(&set);
            let known = Known {
                args: names(&mut random, &["a", "b", "c"]),
                input: names(&mut random, &["count", "note"]),
            };
            let mut partial = whole.clone();
            partial.context.args.retain(|name, _| known.args.contains(name));
            partial.context.input.retain(|name, _| known.input.contains(name));
            let foreseen = foresee(&set, &partial, &known);
            let decided = decision(&set, whole.clone());
            let allowed = decided.effect == schemas::decision::Effect::Allow;
            let told =
                || format!("{foreseen:?} of {decided:?}\nknowing {known:?}\nof {:?}\n{text}", whole.context);
            match foreseen {
                Foresight::Allow => assert!(allowed, "{}", told()),
                Foresight::Deny => assert!(!allowed && decided.obligations.is_empty(), "{}", told()),
                Foresight::Open => {
                    assert!(known != Known::ALL || !decided.obligations.is_empty(), "{}", told());
                }
            }
            seen[foreseen as usize] += 1;
        }
    }
    assert!(seen.iter().all(|count| *count > 500), "allow, deny, open: {seen:?} are too one-sided");
}

#[test]
fn a_call_that_nobody_permits_is_foreseen_without_its_arguments() {
    let own = r#"@id("incidents") permit (principal == Ambit::Agent::"oncall", action in Ambit::Action::"callTool", resource)
        when { context.args.hasTag("channel") && context.args.getTag("channel") like "C-INC-*" };"#;
    let set = compile(&PolicySource::with_built_in(vec![SourceFile::new("own.cedar", own)])).unwrap();
    let mut request = facts::call();
    assert_eq!(foresee(&set, &request, &Known::NONE), Foresight::Allow, "it is granted");
    facts::agent_of(&mut request).grants = schemas::decision::Grants::default();
    assert_eq!(foresee(&set, &request, &Known::NONE), Foresight::Deny, "the policy is for another agent");
    facts::agent_of(&mut request).name = "oncall".parse().unwrap();
    assert_eq!(foresee(&set, &request, &Known::NONE), Foresight::Open);
    let channel =
        Known { args: ArgumentNames::Some(["channel".to_owned()].into()), input: ArgumentNames::None };
    assert_eq!(foresee(&set, &request, &channel), Foresight::Deny, "there is none");
    request.context.args.insert("channel".to_owned(), "C-INC-7".to_owned());
    assert_eq!(foresee(&set, &request, &channel), Foresight::Allow);
    facts::tool_of(&mut request).destructive = true;
    assert_eq!(foresee(&set, &request, &channel), Foresight::Open, "a person can approve");
    facts::tool_of(&mut request).state = schemas::decision::DefinitionState::Changed;
    assert_eq!(foresee(&set, &request, &channel), Foresight::Deny, "and that would not help");
}
