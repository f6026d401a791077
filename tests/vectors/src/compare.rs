//! Native code and wasm beside each other.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use clap::Parser;
use vault_vectors::{Sealing, vectors};

use crate::bind::bind;

/// Tries the vault's cryptography against published vectors, natively and in wasm.
#[derive(Debug, Parser)]
struct Arguments {
    /// Print what sealing and opening costs, too.
    #[arg(long)]
    bench: bool,
}

/// Turns of one figure, and how often it is done in each; `run.cjs` does as often.
const TURNS: usize = 31;
const TIMES: u32 = 2000;

pub(crate) fn main() {
    let arguments = Arguments::parse();
    let native = vectors();
    println!("native  {native}");
    let told = in_node(&bind(), if arguments.bench { TURNS } else { 0 });
    let (wasm, figures) = told.split_first().expect("it tells of the vectors first");
    println!("wasm    {wasm}");
    assert_eq!(native, *wasm, "both try the same vectors");
    if !arguments.bench {
        return;
    }
    if cfg!(debug_assertions) {
        println!("This is not what is shipped: cargo run --release -p vault-vectors -- --bench");
    }
    println!(
        "\nMicroseconds, the median of {TURNS} turns\n\n{:20}{:>10}{:>10}{:>10}",
        "", "native", "wasm", "ratio"
    );
    let mut figures = figures.iter();
    for bytes in [300, 4096] {
        let sealing = Sealing::new(bytes);
        let kinds: [(&str, &dyn Fn()); 2] =
            [("seal", &|| sealing.seal(TIMES)), ("open", &|| sealing.open(TIMES))];
        for (what, work) in kinds {
            let native = median((0..TURNS).map(|_| timed(work)).collect());
            let times = figures.next().expect("it tells of each");
            let wasm = median(serde_json::from_str(times).expect("numbers"));
            let name = format!("{what} {bytes} bytes");
            println!("{name:20}{:10.2}{:10.2}{:10.2}", native / 1e3, wasm / 1e3, wasm / native);
        }
    }
}

/// Nanoseconds of one, on average.
fn timed(work: &dyn Fn()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES)
}

/// What the pinned Node says.
fn in_node(bound: &Path, turns: usize) -> Vec<String> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let node = package.join("../node_modules/.bin/node");
    assert!(node.exists(), "the pinned Node is missing: run `npm ci` in tests/, or `cargo verify`");
    let output = Command::new(node)
        .arg(package.join("run.cjs"))
        .arg(bound)
        .arg(turns.to_string())
        .stderr(Stdio::inherit())
        .output()
        .expect("Node starts");
    assert!(output.status.success(), "a vector fails in wasm");
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
