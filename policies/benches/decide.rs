//! What a decision costs, and that the number of grants does not matter.
//!
//! `decide` is measured whole, as the gateway uses it: from owned facts to a `Permit` with its record, so building entities,
//! the schema's check of the request, Cedar, and reading its answer; cloning the facts is not counted. Grants come in two ways:
//! - `sliced/N`: the agent has N grants, the store hands over those that bear on the call (at most three). This is the product's way.
//! - `unsliced/N`: the facts hold all N, and `decide` slices them itself. Freeing N grants is part of it.
//!
//! The last lines print ratios, measured in turns. The third is of grants written as policies, one permit per tool: the
//! engine asks only those whose scope names the agent and the tool, so even these do not add up.

#![allow(clippy::panic, reason = "a benchmark that cannot start says why")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion};
use policies::{CompiledSet, ListRequest, PolicySource, SourceFile, compile, decide, decide_many, replay};
use schemas::decision::{Action, DecisionRequest, Grants, ResourceFacts};

#[path = "../tests/facts/mod.rs"]
mod facts;

const COUNTS: [usize; 3] = [10, 1_000, 10_000];

fn built_in() -> CompiledSet {
    compile(&PolicySource::with_built_in(Vec::new())).unwrap_or_else(|error| panic!("{error}"))
}

/// All grants of an agent: `count` single tools, the called one in the middle.
fn grants(count: usize) -> Grants {
    let tools = (0..count).map(|index| format!("github/tool{index}"));
    Grants { tools: tools.collect(), ..Grants::default() }
}

fn unsliced(count: usize) -> DecisionRequest {
    let mut request = facts::call();
    request.resource = facts::tool("github", &format!("tool{}", count / 2));
    request.principal.grants = grants(count);
    request
}

/// What the store hands over: the one grant among `count` that bears on the call.
fn sliced(count: usize) -> DecisionRequest {
    let mut request = unsliced(count);
    request.principal.grants.tools.retain(|tool| *tool == format!("github/tool{}", count / 2));
    request
}

fn as_policies(count: usize) -> CompiledSet {
    let text = (0..count).map(|index| {
        format!(
            "@id(\"grant-{index}\") permit (principal == Ambit::Agent::\"bot\", action == \
             Ambit::Action::\"callTool\", resource == Ambit::Tool::\"github/tool{index}\");\n"
        )
    });
    let own = vec![SourceFile::new("grants-as-policies.cedar", text.collect::<String>())];
    compile(&PolicySource::with_built_in(own)).unwrap_or_else(|error| panic!("{error}"))
}

/// Medians of two requests, run in turn so that a busy machine slows both.
fn medians(a: (&CompiledSet, &DecisionRequest), b: (&CompiledSet, &DecisionRequest)) -> [Duration; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..2_001 {
        for (times, (set, request)) in times.iter_mut().zip([a, b]) {
            let owned = request.clone();
            let start = Instant::now();
            let answer = decide(set, owned);
            times.push(start.elapsed());
            assert!(answer.is_ok());
        }
    }
    times.map(|mut times| {
        times.sort();
        times.get(times.len() / 2).copied().unwrap_or_default()
    })
}

fn main() {
    let mut criterion = Criterion::default().warm_up_time(Duration::from_secs(1)).configure_from_args();
    let set = built_in();

    let mut group = criterion.benchmark_group("decide");
    for count in COUNTS {
        for (name, request) in [("sliced", sliced(count)), ("unsliced", unsliced(count))] {
            group.bench_function(BenchmarkId::new(name, count), |bencher| {
                bencher.iter_batched(
                    || request.clone(),
                    |request| decide(&set, request),
                    BatchSize::SmallInput,
                );
            });
        }
    }
    let denied = DecisionRequest { principal: facts::agent(), ..facts::call() };
    group.bench_function("denied", |bencher| {
        bencher.iter_batched(|| denied.clone(), |request| decide(&set, request), BatchSize::SmallInput);
    });
    if let Ok(permit) = decide(&set, sliced(10)) {
        group.bench_function("replay", |bencher| bencher.iter(|| replay(&set, black_box(permit.record()))));
    }
    group.finish();

    let mut group = criterion.benchmark_group("list of 500 tools");
    let tools: Vec<ResourceFacts> =
        (0..500).map(|index| facts::tool("github", &format!("tool{index}"))).collect();
    for (name, granted) in
        [("server granted", facts::call().principal.grants), ("every tool granted", grants(500))]
    {
        let mut list =
            ListRequest { principal: facts::agent(), action: Action::ListTool, context: facts::context() };
        list.principal.grants = granted;
        group.bench_function(name, |bencher| bencher.iter(|| decide_many(&set, &list, &tools)));
    }
    group.finish();

    let source = PolicySource::with_built_in(Vec::new());
    criterion
        .bench_function("compile the built-in set", |bencher| bencher.iter(|| compile(black_box(&source))));

    ratios(&set);
    criterion.final_summary();
}

#[allow(clippy::print_stdout, reason = "a benchmark reports on its standard output")]
fn ratios(set: &CompiledSet) {
    let report = |name: &str, [few, many]: [Duration; 2]| {
        let ratio = many.as_secs_f64() / few.as_secs_f64();
        println!("{name}: {few:?} and {many:?}, ratio {ratio:.2}");
    };
    report("sliced, 10 and 10,000 grants", medians((set, &sliced(10)), (set, &sliced(10_000))));
    report("unsliced, 10 and 10,000 grants", medians((set, &unsliced(10)), (set, &unsliced(10_000))));
    let (few, many) = (as_policies(10), as_policies(1_000));
    report("grants as policies, 10 and 1,000", medians((&few, &sliced(10)), (&many, &sliced(1_000))));
}
