//! Tries the vectors natively and in wasm under Node's V8, and demands the same of both. With `--bench`, prints what sealing and opening
//! a credential costs in each.
//!
//!     cargo run --release -p vault-vectors -- [--bench]

#[cfg(not(target_family = "wasm"))]
mod bind;
#[cfg(not(target_family = "wasm"))]
mod compare;

#[cfg(not(target_family = "wasm"))]
fn main() {
    compare::main();
}

/// In wasm there is only the library.
#[cfg(target_family = "wasm")]
fn main() {}
