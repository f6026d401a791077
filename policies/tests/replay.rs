//! What a replay tells is what the draft would have decided; with its memory as without.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use policies::replay::{Change, Replay, Report, Sets};
use policies::{ArgumentNames, CompiledSet, PolicySource, SourceFile, compile, decide};
use schemas::decision::{DecisionRecord, DecisionRequest, Effect};

mod facts;
mod random;

use random::Random;

fn record(set: &CompiledSet, request: DecisionRequest) -> DecisionRecord {
    match decide(set, request) {
        Ok(permit) => permit.record().clone(),
        Err(denial) => denial.record().clone(),
    }
}

fn line(record: &DecisionRecord) -> String {
    schemas::canonical::to_string(record).unwrap()
}

fn replay<'l>(
    draft: &CompiledSet,
    sets: &Sets,
    memo: bool,
    lines: impl IntoIterator<Item = &'l String>,
) -> Report {
    let replay = Replay::new(draft, sets);
    let mut replay = if memo { replay } else { replay.without_memo() };
    lines.into_iter().for_each(|line| replay.line(line));
    let mut report = replay.report();
    report.sort();
    report
}

fn of(change: Change, report: &Report) -> u64 {
    match change {
        Change::NewlyAllowed => report.newly_allowed,
        Change::NewlyDenied => report.newly_denied,
        Change::CannotTell => report.cannot_tell,
        Change::Unchanged => report.unchanged,
    }
}

/// Policies that read the clock, so that a memory that forgets about it is found out.
fn timely(random: &mut Random) -> String {
    if random.chance(60) {
        return String::new();
    }
    let (effect, than) = (random.of(&["permit", "forbid"]), random.of(&["<", ">="]));
    let guard = random.of(&["resource.readOnly &&", "context.args.hasTag(\"a\") &&", ""]);
    format!(
        "@id(\"timely\") {effect} (principal is Ambit::Agent, action in Ambit::Action::\"callTool\", resource) when {{ {guard} context.call.now {than} datetime(\"2026-11-23T00:00:05Z\") }};"
    )
}

/// A set, twice: a map of sets wants its own.
fn set(random: &mut Random) -> [CompiledSet; 2] {
    loop {
        let text = format!("{}\n{}", random.policies(), timely(random));
        let source = PolicySource::with_built_in(vec![SourceFile::new("random.cedar", text)]);
        let source = source.with_tools([random::definition()]);
        if let (Ok(set), Ok(again)) = (compile(&source), compile(&source)) {
            return [set, again];
        }
    }
}

#[test]
fn what_is_told_is_what_the_draft_decides() {
    let mut random = Random(0x4e91a);
    let mut seen = [0_u64; 4];
    for _ in 0..60 {
        let ([old, again], [draft, _]) = (set(&mut random), set(&mut random));
        let sets = Sets::from([(old.hash().to_string(), again)]);
        let mut lines = Vec::new();
        for _ in 0..60 {
            let mut call = random.call();
            // Few arguments, so that calls repeat; and ten seconds, so that they repeat at other times.
            call.context.now = facts::NOW.plus(i64::try_from(random.below(10)).unwrap() * 1_000);
            let record = record(&old, random::shown(&old, &call));
            let truth = decide(&draft, random::shown(&draft, &call)).map_or(Effect::Deny, |_| Effect::Allow);
            let expected = match (record.decision.effect, truth) {
                (Effect::Deny, Effect::Allow) => Change::NewlyAllowed,
                (Effect::Allow, Effect::Deny) => Change::NewlyDenied,
                _ => Change::Unchanged,
            };
            let line = line(&record);
            let alone = replay(&draft, &sets, false, [&line]);
            let told = [Change::NewlyAllowed, Change::NewlyDenied, Change::CannotTell, Change::Unchanged]
                .into_iter()
                .find(|change| of(*change, &alone) == 1)
                .unwrap();
            seen[told as usize] += 1;
            if told == Change::CannotTell {
                let more =
                    draft.argument_names() != old.argument_names() || draft.typed_tools().next().is_some();
                assert!(more, "everything is on record");
            } else {
                assert_eq!(told, expected, "{record:?}");
            }
            lines.push(line);
        }
        let (without, with) =
            (replay(&draft, &sets, false, &lines), replay(&draft, &sets, true, lines.iter().chain(&lines)));
        for change in [Change::NewlyAllowed, Change::NewlyDenied, Change::CannotTell, Change::Unchanged] {
            assert_eq!(2 * of(change, &without), of(change, &with), "{change:?}");
            let groups = |report: &Report| {
                report
                    .groups
                    .iter()
                    .filter(|group| group.change == change)
                    .map(|group| group.count)
                    .sum::<u64>()
            };
            assert_eq!(groups(&with), if change == Change::Unchanged { 0 } else { of(change, &with) });
            assert_eq!(2 * groups(&without), groups(&with), "{change:?}");
        }
    }
    assert!(
        seen.iter().all(|count| *count > 100),
        "allowed, denied, cannot tell, unchanged: {seen:?} are too one-sided"
    );
}

#[test]
fn what_is_not_on_record_cannot_be_told() {
    let compiled =
        |own: &str| compile(&PolicySource::with_built_in(vec![SourceFile::new("own.cedar", own)])).unwrap();
    let old = compiled("");
    let draft = compiled(
        "@id(\"x\") forbid (principal, action in Ambit::Action::\"callTool\", resource) when { context.args.hasTag(\"force\") };",
    );
    let lines = [line(&record(&old, facts::call()))];
    let report = replay(&draft, &Sets::new(), true, &lines);
    assert_eq!((report.cannot_tell, report.decided), (1, 1));
    assert_eq!(report.groups[0].who, "bot");
    assert_eq!(report.groups[0].what, "github/create_issue");
    // A set that looked for it has it on record that it was not there.
    let knowing = compiled(
        "@id(\"y\") permit (principal, action in Ambit::Action::\"callTool\", resource) when { context.args.hasTag(\"force\") };",
    );
    assert_eq!(*knowing.argument_names(), ArgumentNames::Some(["force".to_owned()].into()));
    let lines = [line(&record(&knowing, facts::call()))];
    assert_eq!(replay(&draft, &Sets::new(), true, &lines).cannot_tell, 1, "without the set nobody knows");
    let sets = Sets::from([(knowing.hash().to_string(), knowing)]);
    assert_eq!(replay(&draft, &sets, true, &lines).unchanged, 1);
}

#[test]
fn other_lines_are_counted() {
    let old = compile(&PolicySource::with_built_in(Vec::new())).unwrap();
    let sets = Sets::new();
    let mut replay = Replay::new(&old, &sets).since(facts::NOW);
    let record = line(&record(&old, facts::call()));
    for text in [
        "",
        "no json",
        "{\"id\":\"evt_1\",\"at\":1,\"phase\":\"outcome\"}",
        &format!("{{\"event\":{{\"id\":\"evt_2\",\"at\":{},\"decision\":{record}}}}}", facts::NOW.0 - 1),
        &format!("{{\"event\":{{\"id\":\"evt_3\",\"at\":{},\"decision\":{record}}}}}", facts::NOW.0),
    ] {
        replay.line(text);
    }
    let report = replay.report();
    assert_eq!((report.unreadable, report.without_decision, report.older, report.unchanged), (1, 1, 1, 1));
}
