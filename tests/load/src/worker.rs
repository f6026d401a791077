//! The size of the Worker, as it is uploaded.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::report::{Cell, Table};

/// Sizes of what `cargo run -p bundle` built.
///
/// # Panics
/// It did not.
pub(crate) fn measure() -> Table {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../functions/cloudflare/build");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("run `cargo run -p bundle`: there is no Worker")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|kind| kind == "js" || kind == "wasm"))
        .collect();
    files.sort();
    let mut table = Table::new("worker", "The Worker, in KiB", &["file", "raw", "gzip"]);
    let (mut raw, mut packed) = (0.0, 0.0);
    for path in files {
        let bytes = std::fs::read(&path).expect("what was listed can be read");
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        let gzipped = gzip.write_all(&bytes).and_then(|()| gzip.finish()).expect("memory takes everything");
        let (kib, gzip_kib) = (bytes.len() as f64 / 1024.0, gzipped.len() as f64 / 1024.0);
        raw += kib;
        packed += gzip_kib;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        table.row(vec![Cell::Text(name), Cell::Number(kib, 1), Cell::Number(gzip_kib, 1)]);
    }
    table.row(vec!["all".into(), Cell::Number(raw, 1), Cell::Number(packed, 1)]);
    table
}
