//! Compiles this package to wasm as the Cloudflare Worker is compiled, and binds it for Node.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use wasm_bindgen_cli_support::Bindgen;

const TARGET: &str = "wasm32-unknown-unknown";

/// Makes `vectors.js` and its wasm; answers where it is.
pub(crate) fn bind() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(&root)
        .args(["build", "--package", env!("CARGO_PKG_NAME"), "--lib", "--target", TARGET])
        .args(["--profile", "edge"])
        .status();
    let built = status.is_ok_and(|status| status.success());
    assert!(built, "cargo could not build it (is the target there? `rustup target add {TARGET}`)");
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let edge = target.join(TARGET).join("edge");
    let out = edge.join(env!("CARGO_PKG_NAME"));
    let mut bindgen = Bindgen::new();
    bindgen
        .nodejs(true)
        .expect("one kind of output is asked for")
        .input_path(edge.join("vault_vectors.wasm"))
        .out_name("vectors")
        .typescript(false)
        .generate(&out)
        .unwrap_or_else(|error| panic!("wasm-bindgen: {error:#}"));
    out.join("vectors.js")
}
