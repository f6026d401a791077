//! The built-in policies pass their own checks.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use policies::{PolicySource, compile};

#[test]
fn the_built_in_policies_compile() {
    let set = compile(&PolicySource::with_built_in(Vec::new())).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(set.len(), 29);
}
