//! wrk: one request, over and over, on so many connections.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// Where.
    pub(crate) url: String,
    /// With which headers.
    pub(crate) headers: Vec<(String, String)>,
    /// And which body.
    pub(crate) body: String,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    /// Calls that were answered.
    pub(crate) calls: usize,
    /// Calls a second.
    pub(crate) rate: f64,
    /// The median latency, in milliseconds.
    pub(crate) p50: f64,
    /// What one call in a hundred exceeds, in milliseconds.
    pub(crate) p99: f64,
}

/// Asks for so many seconds on so many connections, from one thread.
///
/// # Panics
/// wrk is not there, or one answer was no success.
pub(crate) fn run(folder: &Path, ask: &Ask, connections: usize, seconds: u64) -> Outcome {
    let script = folder.join("ask.lua");
    std::fs::write(&script, lua(ask)).expect("the folder is ours");
    let output = Command::new("wrk")
        .args(["--threads", "1", "--timeout", "30s", "--latency"])
        .args(["--connections", &connections.to_string(), "--duration", &format!("{seconds}s"), "--script"])
        .arg(&script)
        .arg(&ask.url)
        .output()
        .expect("install wrk: it makes the load");
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().rev().find(|line| line.starts_with('{'));
    let summary: Value = line.and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
    assert_eq!(summary["failed"], 0, "{}: every answer must be a success:\n{text}", ask.url);
    let number = |key: &str| summary[key].as_f64().unwrap_or_else(|| panic!("wrk says no `{key}`:\n{text}"));
    let calls = summary["requests"].as_u64().and_then(|calls| usize::try_from(calls).ok()).unwrap_or(0);
    assert!(calls > 0, "{}: nobody answered:\n{text}", ask.url);
    Outcome {
        calls,
        rate: calls as f64 / (number("us") / 1e6),
        p50: number("p50") / 1e3,
        p99: number("p99") / 1e3,
    }
}

/// The script: static, so that wrk builds the request once.
fn lua(ask: &Ask) -> String {
    let mut script = format!("wrk.method = \"POST\"\nwrk.body = {}\n", quoted(&ask.body));
    for (name, value) in &ask.headers {
        let _ = writeln!(script, "wrk.headers[{}] = {}", quoted(name), quoted(value));
    }
    script.push_str(
        r#"
function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"us":%d,"failed":%d,"p50":%d,"p99":%d}\n',
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"#,
    );
    script
}

/// A Lua string: JSON's escapes of what we send (`\"` and `\\`) are Lua's too.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
