//! `@expires("2026-12-01T00:00:00Z")`: when a policy is meant to go.

use cedar_policy::Policy;
use schemas::ids::Timestamp;

use super::{Finding, Severity, Written, about, reads_clock};
use crate::instant;
use crate::publish::CompiledSet;
use crate::source::SourceFile;

pub(super) fn findings(set: &CompiledSet, written: &Written<'_>, now: Option<Timestamp>) -> Vec<Finding> {
    written.policies.iter().filter_map(|(id, policy, file)| finding(set, id, policy, file, now)).collect()
}

fn finding(
    set: &CompiledSet,
    id: &str,
    policy: &Policy,
    file: &SourceFile,
    now: Option<Timestamp>,
) -> Option<Finding> {
    let text = policy.annotation("expires")?;
    let Some(at) = instant::read(text) else {
        let message = format!("`{text}` is no time; write it as `2026-12-01T00:00:00Z`");
        return Some(about(Severity::Error, "expires", file, policy, message));
    };
    if now.is_some_and(|now| at <= now) {
        let message = format!("this policy was meant to go at {text}; delete it, or give it another day");
        return Some(about(Severity::Warning, "expired", file, policy, message));
    }
    (!reads_clock(set, id)).then(|| {
        let message = format!(
            "`@expires` alone ends nothing; add `when {{ context.call.now < datetime(\"{text}\") }}`"
        );
        about(Severity::Warning, "expires", file, policy, message)
    })
}
