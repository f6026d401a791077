//! Programs of npm and `PyPI`, installed by `cargo verify` from the lock files in `tests/`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// This folder.
pub fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a script of `tests/` with the pinned Node.
pub fn node(script: &str, arguments: &[&str]) -> Output {
    let node = folder().join("node_modules/.bin/node");
    assert!(node.exists(), "the pinned Node is missing: run `npm ci` in tests/, or `cargo verify`");
    run(&node, script, arguments)
}

/// Runs a script of `tests/` with the pinned Python packages.
pub fn python(script: &str, arguments: &[&str]) -> Output {
    let python = folder().join(".venv/bin/python");
    assert!(python.exists(), "the Python environment tests/.venv is missing: run `cargo verify`");
    run(&python, script, arguments)
}

fn run(program: &PathBuf, script: &str, arguments: &[&str]) -> Output {
    let path = std::env::var("PATH").unwrap_or_default();
    Command::new(program)
        .arg(folder().join(script))
        .args(arguments)
        .env("PATH", format!("{}:{path}", folder().join("node_modules/.bin").display()))
        .current_dir(folder())
        .output()
        .unwrap()
}
