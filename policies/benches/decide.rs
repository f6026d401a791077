//! What a decision costs, and that the number of grants does not matter: `cargo bench -p policies`.
//!
//! The last lines print ratios, each of two workloads measured in turn: on a shared machine they hold where times drift.

#![allow(clippy::panic, reason = "a benchmark that cannot start says why")]

use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion};

mod workloads;

use workloads::{ALL, Workload};

fn main() {
    let mut criterion = Criterion::default().warm_up_time(Duration::from_secs(1)).configure_from_args();
    for workload in ALL {
        let mut source = None;
        criterion.bench_function(workload.name, |bencher| {
            let source = source.get_or_insert_with(workload.start);
            bencher.iter_batched(&*source, |job| job(), BatchSize::SmallInput);
        });
    }
    ratios();
    criterion.final_summary();
}

#[allow(clippy::print_stdout, reason = "a benchmark reports on its standard output")]
fn ratios() {
    for [few, many] in [
        ["decide: 10 grants, sliced", "decide: 10,000 grants, sliced"],
        ["decide: 10 grants, flat", "decide: 10,000 grants, flat"],
        ["decide: 10 policies", "decide: 1,000 policies"],
        ["decide: 10 grants, sliced", "decide: typed arguments"],
    ] {
        let [a, b] = medians([few, many].map(named));
        println!("{few} {a:?}; {many} {b:?}; ratio {:.2}", b.as_secs_f64() / a.as_secs_f64());
    }
}

fn named(name: &str) -> Workload {
    ALL.into_iter().find(|workload| workload.name == name).unwrap_or_else(|| panic!("no workload `{name}`"))
}

/// Medians of two workloads, run in turn so that a busy machine slows both.
fn medians(workloads: [Workload; 2]) -> [Duration; 2] {
    let sources = workloads.map(|workload| (workload.start)());
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..2_001 {
        for (times, source) in times.iter_mut().zip(&sources) {
            let job = source();
            let start = Instant::now();
            job();
            times.push(start.elapsed());
        }
    }
    times.map(|mut times| {
        times.sort();
        times.get(times.len() / 2).copied().unwrap_or_default()
    })
}
