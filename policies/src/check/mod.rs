//! What is wrong with an author's files beyond what keeps them from being used: layout, policies that change nothing, names of
//! things that are not there, policies that have had their day.
//!
//! No false alarms: a finding is made only where it can be told from the text and the inventory for certain.

mod covering;
mod expiry;
mod format;
mod names;

use cedar_policy::{Policy, PolicySet};
use schemas::ids::Timestamp;
use schemas::inventory::Inventory;

use crate::problem::Problem;
use crate::publish::{CompiledSet, PublishError, compile};
use crate::source::{PolicySource, SourceFile, built_in};

pub use format::formatted;
pub(crate) use names::nearest;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The policies must not be used like this.
    Error,
    /// Worth a look.
    Warning,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What kind it is, in one word for machines.
    pub rule: &'static str,
    /// What it is, and where.
    #[serde(flatten)]
    pub problem: Problem,
}

/// What a check knows besides the policies.
#[derive(Debug, Clone, Copy, Default)]
pub struct Circumstances<'a> {
    /// What the organisation has. Without it, names are not looked up.
    pub inventory: Option<&'a Inventory>,
    /// What time it is. Without it, nothing has expired.
    pub now: Option<Timestamp>,
}

/// Checks the author's files of a source; the built-in ones are only what they are held against.
///
/// # Errors
/// When this build cannot check anything.
pub fn check(source: &PolicySource, circumstances: Circumstances<'_>) -> Result<Vec<Finding>, String> {
    let own: Vec<&SourceFile> = source.files.iter().filter(|file| !built_in().contains(file)).collect();
    let set = match compile(source) {
        Ok(set) => set,
        Err(PublishError::Ours(reason)) => return Err(reason),
        Err(PublishError::Refused(problems)) => {
            let refused = problems.into_iter().map(|problem| Finding {
                severity: Severity::Error,
                rule: "invalid",
                problem,
            });
            return Ok(refused.collect());
        }
    };
    let written = Written::of(&own);
    let mut findings: Vec<Finding> = own.iter().filter_map(|file| format::finding(file)).collect();
    findings.extend(covering::findings(&set, &written));
    findings.extend(expiry::findings(&set, &written, circumstances.now));
    if let Some(inventory) = circumstances.inventory {
        findings.extend(names::findings(inventory, &written));
    }
    let place = |finding: &Finding| {
        (finding.problem.file.clone(), finding.problem.line, finding.problem.column, finding.rule)
    };
    findings.sort_by_key(place);
    findings.dedup();
    Ok(findings)
}

/// The author's policies, each with its file.
struct Written<'a> {
    policies: Vec<(String, Policy, &'a SourceFile)>,
}

impl<'a> Written<'a> {
    fn of(files: &[&'a SourceFile]) -> Self {
        let mut policies = Vec::new();
        for file in files {
            let parsed: PolicySet = file.text.parse().unwrap_or_default();
            for policy in parsed.policies() {
                let id = policy.annotation("id").unwrap_or_default().to_owned();
                policies.push((id, policy.clone(), *file));
            }
        }
        policies.sort_by_key(|(_, policy, file)| (file.name.clone(), start(policy)));
        Self { policies }
    }
}

/// Where a policy starts in its file.
fn start(policy: &Policy) -> usize {
    let inner: &cedar_policy_core::ast::Policy = policy.as_ref();
    inner.loc().map_or(0, cedar_policy_core::parser::Loc::start)
}

/// A finding about a policy as a whole: its head is what is shown.
fn about(
    severity: Severity,
    rule: &'static str,
    file: &SourceFile,
    policy: &Policy,
    message: String,
) -> Finding {
    let start = start(policy);
    let head = file.text.get(start..).and_then(|rest| rest.lines().next()).map_or(0, str::len);
    Finding { severity, rule, problem: Problem::at(file, start..start + head, message) }
}

/// Whether a policy of the set reads the clock.
fn reads_clock(set: &CompiledSet, id: &str) -> bool {
    set.looks.get(id).is_none_or(|looks| looks.clock)
}
