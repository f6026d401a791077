//! What deciding costs in wasm under Node's V8, beside the same natively: CPU time, in turns, in one run, so that the ratio holds
//! on a busy machine. Nothing is asserted but that every answer is the expected one.
//!
//!     cargo run --release -p policies-wasm-bench -- [--quick] [--json] [--only WORD]
//!
//! `first` is the first run in a fresh process: what a new isolate waits for, with everything that is made once in it, and with
//! code that V8 has not optimised yet.

#[cfg(not(target_family = "wasm"))]
mod bind;
#[cfg(not(target_family = "wasm"))]
mod measure;
#[cfg(not(target_family = "wasm"))]
mod worker;

#[cfg(not(target_family = "wasm"))]
fn main() {
    measure::main();
}

/// In wasm there is only the library.
#[cfg(target_family = "wasm")]
fn main() {}
