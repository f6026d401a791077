//! The stages, in the order in which they find faults cheapest.

use std::path::{Path, PathBuf};

use crate::command::{cargo, run, watch};
use crate::report::Report;
use crate::setup;

/// Something that is done and may fail, with the reason.
pub(crate) type Step = fn(&Path, &mut Report) -> Result<(), String>;

/// One stage.
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: Step,
}

/// All stages. Tests of whole surfaces (conformance, real clients, containers) are test binaries of package `tests`, so
/// `test` runs them too.
pub(crate) const STAGES: [Stage; 6] = [
    Stage {
        name: "setup",
        about: "what the others need is installed, and Docker answers",
        run: setup::stage,
    },
    Stage { name: "fmt", about: "the code is formatted", run: fmt },
    Stage { name: "clippy", about: "no lint complains, natively and for the edge", run: clippy },
    Stage {
        name: "edge",
        about: "the core compiles for both kinds of wasm, the Worker builds, and the vault's cryptography does there as published",
        run: edge,
    },
    Stage {
        name: "tools",
        about: "the prover and Cedar's own command line build, for the tests that ask them",
        run: tools,
    },
    Stage {
        name: "test",
        about: "every test passes, in memory, over the surfaces and in containers",
        run: test,
    },
];

const UNKNOWN: &str = "wasm32-unknown-unknown";
const WASI: &str = "wasm32-wasip2";

/// The workspace of the tools, which need another Cedar than the product.
fn tools_workspace(root: &Path) -> PathBuf {
    root.join("policies/prove")
}

fn fmt(root: &Path, report: &mut Report) -> Result<(), String> {
    let mut check = |workspace: &Path| {
        run(report, cargo(workspace, &["fmt", "--all", "--check"]))
            .map_err(|error| format!("{error}; `cargo fmt --all` in {} puts it right", workspace.display()))
    };
    both(check(root), check(&tools_workspace(root)))
}

fn clippy(root: &Path, report: &mut Report) -> Result<(), String> {
    // The Cloudflare adapter only means something in wasm, so it is linted there.
    let native = ["clippy", "--locked", "--workspace", "--exclude", "cloudflare", "--all-targets"];
    let edge = ["clippy", "--locked", "--package", "cloudflare", "--target", UNKNOWN];
    let deny = ["--", "-D", "warnings"];
    let tools = ["clippy", "--locked", "--all-targets"];
    let product = both(
        run(report, cargo(root, &[&native[..], &deny].concat())),
        run(report, cargo(root, &[&edge[..], &deny].concat())),
    );
    both(product, run(report, cargo(&tools_workspace(root), &[&tools[..], &deny].concat())))
}

fn edge(root: &Path, report: &mut Report) -> Result<(), String> {
    // On bare wasm randomness is the host's business: the adapter that brings it is checked along.
    let core = ["check", "--locked", "--package", "gateway"];
    run(report, cargo(root, &[&core[..], &["--package", "cloudflare", "--target", UNKNOWN]].concat()))?;
    run(report, cargo(root, &[&core[..], &["--target", WASI]].concat()))?;
    run(report, cargo(root, &["run", "--locked", "--package", "bundle"]))?;
    run(report, cargo(root, &["run", "--locked", "--package", "vault-vectors"]))
}

fn tools(root: &Path, report: &mut Report) -> Result<(), String> {
    let build = ["build", "--locked", "--package", "prove", "--package", "cedar-policy-cli"];
    let programs = ["--bin", "ambit-prove", "--bin", "cedar"];
    run(report, cargo(&tools_workspace(root), &[&build[..], &programs].concat()))
}

fn test(root: &Path, report: &mut Report) -> Result<(), String> {
    // The programs that the tests start; built here, so that a fault in one shows as what it is.
    run(report, cargo(root, &["build", "--locked", "--workspace", "--exclude", "cloudflare", "--bins"]))?;
    let arguments = ["test", "--locked", "--workspace", "--exclude", "cloudflare", "--no-fail-fast"];
    let mut suite = String::new();
    let mut results = 0;
    let outcome = watch(report, cargo(root, &arguments), |report, line| {
        let line = line.trim();
        if let Some(name) = suite_named(line) {
            suite = name;
        } else if line.starts_with("test result:") {
            results += 1;
            report.test(format!("{suite}: {line}"));
        }
    });
    if results == 0 && outcome.is_ok() {
        return Err("cargo ran no test at all".to_owned());
    }
    outcome
}

/// The test binary that cargo says it runs: `Running tests/a.rs (target/debug/deps/a-0123456789abcdef)` is `a`.
fn suite_named(line: &str) -> Option<String> {
    if let Some(package) = line.strip_prefix("Doc-tests ") {
        return Some(format!("{package} (docs)"));
    }
    let (what, binary) = line.strip_prefix("Running ")?.rsplit_once(" (")?;
    let (name, _) = binary.rsplit('/').next()?.rsplit_once('-')?;
    Some(if what.starts_with("unittests ") { format!("{name} (units)") } else { name.to_owned() })
}

/// Two results as one, with both reasons.
fn both(first: Result<(), String>, second: Result<(), String>) -> Result<(), String> {
    match (first, second) {
        (Err(first), Err(second)) => Err(format!("{first}; {second}")),
        (first, second) => first.and(second),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suites_are_named_after_their_binaries() {
        let named = |line| suite_named(line).unwrap_or_default();
        assert_eq!(
            named("Running unittests src/lib.rs (target/debug/deps/schemas-0123456789abcdef)"),
            "schemas (units)"
        );
        assert_eq!(
            named("Running tests/end_to_end.rs (/a-b/c/deps/end_to_end-0123456789abcdef)"),
            "end_to_end"
        );
        assert_eq!(named("Doc-tests policies"), "policies (docs)");
        assert_eq!(suite_named("test result: ok. 1 passed"), None);
        assert_eq!(suite_named("Running late"), None);
    }
}
