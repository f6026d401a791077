//! The description of the management API, `schemas/openapi.yaml`, held to what the gateway does.

use std::cell::RefCell;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

thread_local! {
    static SEEN: RefCell<Vec<Value>> = const { RefCell::new(Vec::new()) };
}

/// Notes an answer of the API, for [`check`].
pub fn saw(method: &Method, path: &str, status: StatusCode, headers: &HeaderMap, body: &str) {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let seen = json!({
        "method": method.as_str(), "path": path, "status": status.as_u16(), "type": text("content-type"),
        "etag": text("etag"), "location": text("location"), "retryAfter": text("retry-after"), "body": body,
    });
    SEEN.with_borrow_mut(|all| all.push(seen));
}

/// Python as `tests/requirements.txt` made it.
pub fn python() -> PathBuf {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/python");
    assert!(
        python.exists(),
        "`{}` is not there: python3 -m venv tests/.venv && tests/.venv/bin/pip install -r tests/requirements.txt",
        python.display()
    );
    python
}

/// Holds the description to the table of operations and to every answer that was noted on this thread.
pub fn check() {
    let operations: Vec<Value> = gateway::Operation::ALL
        .iter()
        .map(|operation| json!([operation.method().as_str(), operation.path(), operation.id()]))
        .collect();
    let seen = SEEN.with_borrow_mut(std::mem::take);
    assert!(!seen.is_empty(), "no answer was seen");
    let mut child = Command::new(python())
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/description.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let given = json!({ "operations": operations, "seen": seen }).to_string();
    child.stdin.take().unwrap().write_all(given.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "schemas/openapi.yaml and the gateway say different things:\n{told}");
    println!("{told}");
}
