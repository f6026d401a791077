//! How two policy sets differ: in their policies, and in who may do what.

use std::collections::{BTreeMap, BTreeSet};

use schemas::inventory::Inventory;

use crate::matrix;
use crate::publish::CompiledSet;

/// A policy that is in one of the two sets only, or differs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PolicyChange {
    /// The policy.
    pub id: String,
    /// `permit` or `forbid`: the newer, if it is in both.
    pub effect: &'static str,
    /// As it was; nothing if it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// As it is; nothing if it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Something that is decided otherwise.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct AccessChange {
    /// The agent or the person.
    pub who: String,
    /// The action.
    pub action: &'static str,
    /// To what.
    pub what: String,
    /// As it was decided.
    pub before: String,
    /// As it is decided.
    pub after: String,
}

/// The policies that differ, by id. Layout and comments make no difference.
pub fn policies(old: &CompiledSet, new: &CompiledSet) -> Vec<PolicyChange> {
    let ids = |set: &CompiledSet| {
        set.policies.policies().map(|policy| policy.id().to_string()).collect::<BTreeSet<_>>()
    };
    let mut changes = Vec::new();
    for id in ids(old).union(&ids(new)) {
        let (before, after) = (old.policy_source(id), new.policy_source(id));
        let same = match (old.policy(id), new.policy(id)) {
            (Some(a), Some(b)) => a.to_json().ok() == b.to_json().ok(),
            _ => false,
        };
        if !same {
            let permits = if after.is_some() { new.is_permit(id) } else { old.is_permit(id) };
            let effect = if permits { "permit" } else { "forbid" };
            changes.push(PolicyChange { id: id.clone(), effect, before, after });
        }
    }
    changes
}

/// What is decided otherwise, over everything of an inventory. Which policy decides makes no difference, only how.
pub fn access(old: &CompiledSet, new: &CompiledSet, inventory: &Inventory) -> Vec<AccessChange> {
    let mut before: BTreeMap<_, _> = matrix::lines(old, inventory)
        .into_iter()
        .map(|line| ((line.who, line.action, line.what), line.decision))
        .collect();
    let word = |decision: &str| decision.split_whitespace().next().unwrap_or_default().to_owned();
    let changes = matrix::lines(new, inventory).into_iter().filter_map(|line| {
        let matrix::Line { who, action, what, decision: after } = line;
        let before = before.remove(&(who.clone(), action, what.clone()))?;
        (word(&before) != word(&after)).then_some(AccessChange { who, action, what, before, after })
    });
    changes.collect()
}
