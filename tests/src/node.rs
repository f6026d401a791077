//! Programs of npm and `PyPI`, installed by `cargo verify` from the lock files in `tests/`.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::stack::Process;

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

/// Starts a script of `tests/` that goes on, and answers the JSON line that it prints when it is ready.
pub fn start(script: &str, arguments: &[&str]) -> (Process, Value) {
    let node = folder().join("node_modules/.bin/node");
    assert!(node.exists(), "the pinned Node is missing: run `npm ci` in tests/, or `cargo verify`");
    let mut child = Command::new(node)
        .arg(folder().join(script))
        .args(arguments)
        .current_dir(folder())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let process = Process(child);
    out.read_line(&mut line).unwrap();
    // Whatever else it says goes nowhere, and does not fill the pipe.
    std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    let ready =
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{script} is not ready ({error}): {line}"));
    (process, ready)
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
