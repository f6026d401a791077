//! What a call costs, beside the cheapest thing that could stand in its place, all measured in one run: figures of shared
//! machines drift, CPU per call and ratios hold. It asserts that every call was answered and recorded, and never a time.
//!
//!     cargo run --release -p load -- [--quick] [--json] [--only gateway|bridge|wake|worker]

mod bridge;
mod client;
mod cpu;
mod gateways;
mod nginx;
mod report;
mod wake;
mod worker;
mod wrk;

use clap::{Parser, ValueEnum};

use crate::report::Table;

/// Measures what a call costs.
#[derive(Debug, Parser)]
struct Arguments {
    /// Three seconds a figure instead of eight.
    #[arg(long)]
    quick: bool,
    /// Print JSON and nothing else.
    #[arg(long)]
    json: bool,
    /// Measure only this.
    #[arg(long)]
    only: Option<Part>,
    /// Measure gateways only at this concurrency.
    #[arg(long)]
    concurrency: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// A call through each host, beside nginx.
    Gateway,
    /// A call of a stdio server in a container, beside the same server as a child process.
    Bridge,
    /// The first answer of a container that is not there, stopped or paused.
    Wake,
    /// The size of the Worker.
    Worker,
}

fn main() {
    let arguments = Arguments::parse();
    if cfg!(debug_assertions) {
        println!("This is not what is shipped: cargo run --release -p load");
    }
    let wanted = |part| arguments.only.is_none_or(|only| only == part);
    let mut tables: Vec<Table> = Vec::new();
    let mut add = |table: Table| {
        if !arguments.json {
            println!("{}", table.to_text());
        }
        tables.push(table);
    };
    tests::stack::run(async {
        if wanted(Part::Gateway) {
            add(gateways::measure(arguments.quick, arguments.concurrency).await);
        }
        if wanted(Part::Bridge) {
            add(bridge::measure(arguments.quick).await);
        }
        if wanted(Part::Wake) {
            add(wake::measure(arguments.quick).await);
        }
        if wanted(Part::Worker) {
            add(worker::measure());
        }
    });
    if arguments.json {
        let members = tables.iter().map(|table| (table.name.to_owned(), table.to_json()));
        println!("{}", members.collect::<serde_json::Value>());
    }
}
