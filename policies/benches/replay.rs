//! How many recorded decisions a second can be replayed, from their lines in the trail to the report.
//!
//! The trail is one of an organisation with 40 agents, 120 tools and 30 policies of its own on top of the built-in ones: 100,000
//! events of 2,400 different calls, as agents repeat themselves, each at another time. `anew` decides every one of them; `memo`
//! every different one once. Both on one thread and on as many as there are cores.

#![allow(clippy::panic, reason = "a benchmark that cannot start says why")]

use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use policies::replay::{Replay, Report, Sets};
use policies::{CompiledSet, PolicySource, SourceFile, compile, decide};
use schemas::decision::ResourceFacts;
use schemas::ids::Timestamp;

#[path = "../tests/facts/mod.rs"]
mod facts;

const EVENTS: usize = 100_000;

fn set(own: usize) -> CompiledSet {
    let mut text = String::new();
    for index in 0..own {
        let _ = writeln!(
            text,
            "@id(\"own-{index}\") permit (principal == Ambit::Agent::\"agent{index}\", action in \
             Ambit::Action::\"callTool\", resource in Ambit::McpServer::\"github\") when {{ \
             context.args.hasTag(\"repo\") && context.args.getTag(\"repo\") like \"acme/{index}*\" }};"
        );
    }
    let source = PolicySource::with_built_in(vec![SourceFile::new("own.cedar", text)]);
    compile(&source).unwrap_or_else(|error| panic!("{error}"))
}

fn trail(set: &CompiledSet) -> Vec<String> {
    let mut lines = Vec::with_capacity(EVENTS);
    for index in 0..EVENTS {
        let mut request = facts::call();
        facts::agent_of(&mut request).name =
            format!("agent{}", index % 40).parse().unwrap_or_else(|error| panic!("{error}"));
        if index % 3 == 0 {
            facts::agent_of(&mut request).grants = schemas::decision::Grants::default();
        }
        if let ResourceFacts::Tool(tool) = &mut request.resource {
            tool.name = format!("tool{}", index % 120);
        }
        let repo = format!("acme/{}", index % 20);
        request.context.args.insert("repo".to_owned(), repo);
        request.context.now = Timestamp(facts::NOW.0 + i64::try_from(index).unwrap_or_default());
        let record = match decide(set, request) {
            Ok(permit) => permit.record().clone(),
            Err(denial) => denial.record().clone(),
        };
        let at = record.request.context.now.0;
        let record = schemas::canonical::to_string(&record).unwrap_or_else(|error| panic!("{error}"));
        lines.push(format!(
            "{{\"actor\":{{\"agent\":\"a\",\"credential\":\"key:1\"}},\"at\":{at},\"decision\":{record},\"id\":\"evt_{index}\",\
             \"method\":\"tools/call\",\"phase\":\"intent\",\"v\":1}}"
        ));
    }
    lines
}

fn replay(draft: &CompiledSet, sets: &Sets, lines: &[String], memo: bool, threads: usize) -> Report {
    let part = lines.len().div_ceil(threads);
    thread::scope(|scope| {
        let workers: Vec<_> = lines
            .chunks(part)
            .map(|lines| {
                scope.spawn(move || {
                    let replay = Replay::new(draft, sets);
                    let mut replay = if memo { replay } else { replay.without_memo() };
                    for line in lines {
                        replay.line(line);
                    }
                    replay.report()
                })
            })
            .collect();
        let mut report = Report::default();
        for worker in workers {
            report.add(worker.join().unwrap_or_else(|_| panic!("a thread broke")));
        }
        report
    })
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(8))
        .sample_size(10)
        .configure_from_args();
    let (live, draft) = (set(30), set(15));
    let lines = trail(&live);
    let sets = Sets::from([(live.hash().to_string(), live)]);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let report = replay(&draft, &sets, &lines, true, 1);
    assert_eq!(report.decided, EVENTS as u64);
    assert!(report.newly_denied > 0 && report.cannot_tell == 0, "{report:?}");

    let mut group = criterion.benchmark_group("replay");
    group.throughput(Throughput::Elements(EVENTS as u64));
    for (name, memo, threads) in [
        ("anew, 1 thread", false, 1),
        ("anew, all cores", false, cores),
        ("memo, 1 thread", true, 1),
        ("memo, all cores", true, cores),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| replay(&draft, &sets, &lines, memo, threads)));
    }
    group.finish();
    criterion.final_summary();
}
