//! What sealing and opening a credential costs natively. `cargo run --release -p vault-vectors -- --bench` has wasm beside it.

use criterion::{Criterion, criterion_group, criterion_main};
use vault_vectors::Sealing;

fn sealing(criterion: &mut Criterion) {
    for bytes in [300, 4096] {
        let sealing = Sealing::new(bytes);
        criterion.bench_function(&format!("seal {bytes} bytes"), |bench| bench.iter(|| sealing.seal(1)));
        criterion.bench_function(&format!("open {bytes} bytes"), |bench| bench.iter(|| sealing.open(1)));
    }
}

criterion_group!(benches, sealing);
criterion_main!(benches);
