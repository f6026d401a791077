//! Takes the measurements in turns, and tells them.

use std::path::Path;
use std::time::Duration;

use clap::Parser;
use serde_json::json;

use crate::bind::bind;
use crate::worker::{self, Worker};

/// Measures what deciding costs in wasm, beside the same natively.
#[derive(Debug, Parser)]
struct Arguments {
    /// Five turns a figure instead of fifteen.
    #[arg(long)]
    quick: bool,
    /// Print JSON and nothing else.
    #[arg(long)]
    json: bool,
    /// Measure only what has this word in its name.
    #[arg(long)]
    only: Option<String>,
    /// Be the native worker.
    #[arg(long, hide = true)]
    worker: bool,
}

/// How long a turn takes, about: clocks of threads are fine, but machines are not quiet.
const TURN: Duration = Duration::from_millis(60);

/// Fresh processes for one figure of the first run.
const FIRSTS: usize = 5;

/// Medians of one workload in microseconds of CPU, natively and in wasm.
struct Figures {
    name: &'static str,
    first: [f64; 2],
    then: [f64; 2],
    /// Median of the ratios of turns.
    ratio: f64,
}

pub(crate) fn main() {
    let arguments = Arguments::parse();
    if arguments.worker {
        return worker::serve();
    }
    if cfg!(debug_assertions) {
        eprintln!("This is not what is shipped: cargo run --release -p policies-wasm-bench");
    }
    let bound = bind();
    if !arguments.json {
        println!("\nMicroseconds of CPU, the median of turns\n");
        println!("{:36}{:>12}{:>12}{:>12}{:>12}{:>8}", "", "native", "wasm", "first", "first wasm", "ratio");
    }
    let mut told = Vec::new();
    for (number, name) in policies_wasm_bench::names().enumerate() {
        if arguments.only.as_ref().is_some_and(|word| !name.contains(word.as_str())) {
            continue;
        }
        let figures = measure(number, name, &bound, if arguments.quick { 5 } else { 15 });
        if !arguments.json {
            println!("{}", figures.to_text());
        }
        told.push(figures.to_json());
    }
    if arguments.json {
        println!("{}", serde_json::Value::Array(told));
    }
}

fn measure(number: usize, name: &'static str, bound: &Path, turns: usize) -> Figures {
    let fresh = || [Worker::native(), Worker::in_node(bound)];
    let mut firsts = [Vec::new(), Vec::new()];
    for _ in 0..FIRSTS {
        for (firsts, mut worker) in firsts.iter_mut().zip(fresh()) {
            worker.choose(number);
            firsts.push(micros(worker.run(1)));
        }
    }
    let mut workers = fresh();
    let counts = workers.each_mut().map(|worker| {
        worker.choose(number);
        settle(worker)
    });
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..turns {
        for ((times, worker), count) in times.iter_mut().zip(&mut workers).zip(counts) {
            times.push(micros(worker.run(count)) / f64::from(count));
        }
    }
    let [native, wasm] = &times;
    let ratio = median(native.iter().zip(wasm).map(|(native, wasm)| wasm / native).collect());
    Figures { name, first: firsts.map(median), then: times.map(median), ratio }
}

/// Runs until V8 has compiled for good what is run, and answers how many jobs make a turn.
fn settle(worker: &mut Worker) -> u32 {
    let mut count = 1;
    let mut spent = Duration::ZERO;
    loop {
        let time = worker.run(count);
        spent += time;
        if time < TURN / 2 {
            count = count.saturating_mul(2);
        } else if spent > TURN * 8 {
            return count;
        }
    }
}

impl Figures {
    fn to_text(&self) -> String {
        let Self { name, first: [first, first_wasm], then: [native, wasm], ratio } = self;
        format!("{name:36}{native:12.1}{wasm:12.1}{first:12.1}{first_wasm:12.1}{ratio:8.2}")
    }

    fn to_json(&self) -> serde_json::Value {
        let Self { name, first: [first, first_wasm], then: [native, wasm], ratio } = self;
        json!({
            "name": name, "native": native, "wasm": wasm, "first": first, "first_wasm": first_wasm, "ratio": ratio,
        })
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
