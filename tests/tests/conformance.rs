//! The official conformance suite through the gateway: a client that is not ours asks our fixture in a container.

use serde_json::Value;
use tests::fixture;
use tests::node::node;
use tests::stack::{Host, Stack, run};

/// What a front without sessions can't do, and why.
const BASELINE: &str = "conformance/baseline-2025-11-25.yml";

#[test]
fn standalone_2026_07_28() {
    run(through(Host::Standalone, "2026-07-28", None)).are(37, 37);
}

#[test]
fn workerd_2026_07_28() {
    run(through(Host::Workerd, "2026-07-28", None)).are(37, 37);
}

#[test]
fn standalone_2025_11_25() {
    run(through(Host::Standalone, "2025-11-25", Some(BASELINE))).are(26, 30);
}

#[test]
fn workerd_2025_11_25() {
    run(through(Host::Workerd, "2025-11-25", Some(BASELINE))).are(26, 30);
}

/// What the suite says of the scenarios it requires.
#[derive(Debug)]
struct Scenarios {
    required: u64,
    passed: u64,
}

impl Scenarios {
    fn are(&self, passed: u64, required: u64) {
        assert!(self.passed >= passed && self.required == required, "{self:?}");
    }
}

/// Runs the scenarios that a revision requires. One server in the toolbox: names get no prefix, as the suite wants them.
async fn through(host: Host, revision: &str, baseline: Option<&str>) -> Scenarios {
    let stack = Stack::start(host).await;
    let operator = stack.organisation().await;
    operator.toolbox("main", &[("fixture", fixture::stdio("modern").await)]).await;
    let agent = operator.agent("judge", "main").await;
    operator.grant("judge", "toolbox/main").await;

    let url = format!("{}{}", stack.door.url(), agent.path);
    let mut arguments = vec![url.as_str(), &agent.token, revision];
    arguments.extend(baseline);
    let output = node("conformance/run.mjs", &arguments);
    let report = String::from_utf8_lossy(&output.stdout);
    let summary = report.lines().next_back().unwrap_or_default();
    println!("{host:?}: {summary}");
    assert!(output.status.success(), "{report}\n{}", String::from_utf8_lossy(&output.stderr));
    let summary: Value = serde_json::from_str(summary).unwrap();
    let count = |what: &str| summary[what].as_u64().unwrap();
    Scenarios { required: count("required"), passed: count("passed") }
}
