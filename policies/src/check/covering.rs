//! Policies that change nothing: permits of what another permits anyway, and permits that a forbid takes back whole.
//!
//! One policy covers another if each part of its scope does and every clause of its conditions is one of the other's too. That
//! is told from the text alone, so it finds what is plain and is never wrong.

use std::collections::BTreeSet;

use cedar_policy::{ActionConstraint, Effect, Policy, Schema};
use cedar_policy_core::ast::Entity;

use super::{Finding, Severity, Written, about};
use crate::clauses::{Part, clauses};
use crate::publish::CompiledSet;

pub(super) fn findings(set: &CompiledSet, written: &Written<'_>) -> Vec<Finding> {
    let actions = Actions::of(&set.schema);
    let mut all: Vec<(String, Policy)> =
        set.policies.policies().map(|policy| (policy.id().to_string(), policy.clone())).collect();
    all.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut findings = Vec::new();
    let permits = || written.policies.iter().filter(|(_, policy, _)| policy.effect() == Effect::Permit);
    let place = |id: &str| written.policies.iter().position(|(other, ..)| other == id);
    for (id, policy, file) in permits() {
        let coverer = all.iter().find(|(other_id, other)| {
            let first = || match (place(other_id), place(id)) {
                (Some(other), Some(this)) => other < this,
                // Built-in policies come first.
                _ => true,
            };
            // Of two that say the same, the first stays.
            other_id != id
                && actions.covers(other, policy)
                && (!actions.covers(policy, other) || other.effect() == Effect::Forbid || first())
        });
        let Some((coverer, by)) = coverer else { continue };
        let (rule, message) = match by.effect() {
            Effect::Permit => {
                ("shadowed", format!("`{coverer}` permits all of this already; delete one of the two"))
            }
            Effect::Forbid => {
                ("useless", format!("`{coverer}` forbids all of this, so it permits nothing; delete it"))
            }
        };
        findings.push(about(Severity::Warning, rule, file, policy, message));
    }
    findings
}

/// The actions of a schema.
struct Actions(Vec<Entity>);

impl Actions {
    fn of(schema: &Schema) -> Self {
        let entities = schema.action_entities().ok();
        Self(entities.iter().flat_map(|all| all.iter().map(|entity| entity.as_ref().clone())).collect())
    }

    /// The actions that a scope is about.
    fn within(&self, scope: &ActionConstraint) -> BTreeSet<String> {
        let covers = |action: &Entity| match scope {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => action.uid() == uid.as_ref(),
            ActionConstraint::In(uids) => {
                uids.iter().any(|uid| action.uid() == uid.as_ref() || action.is_descendant_of(uid.as_ref()))
            }
        };
        self.0.iter().filter(|action| covers(action)).map(|action| action.uid().to_string()).collect()
    }

    /// Whether a policy matches whatever another matches.
    fn covers(&self, wide: &Policy, narrow: &Policy) -> bool {
        part_covers(&Part::principal(wide), &Part::principal(narrow))
            && part_covers(&Part::resource(wide), &Part::resource(narrow))
            && self.within(&wide.action_constraint()).is_superset(&self.within(&narrow.action_constraint()))
            && {
                let asked = clauses(narrow);
                clauses(wide).iter().all(|clause| asked.iter().any(|other| clause.is(other)))
            }
    }
}

fn part_covers(wide: &Part, narrow: &Part) -> bool {
    match (wide, narrow) {
        (Part::Any, _) => true,
        (Part::Is(wide), Part::Is(narrow) | Part::IsIn(narrow, _)) => wide == narrow,
        (Part::Is(wide), Part::Eq(narrow)) => wide == narrow.type_name(),
        // Whatever is, is in itself.
        (Part::Eq(wide), Part::Eq(narrow))
        | (Part::In(wide), Part::Eq(narrow) | Part::In(narrow) | Part::IsIn(_, narrow)) => wide == narrow,
        (Part::IsIn(wide_kind, wide), Part::IsIn(narrow_kind, narrow)) => {
            wide_kind == narrow_kind && wide == narrow
        }
        (Part::Eq(_) | Part::In(_) | Part::Is(_) | Part::IsIn(..), _) => false,
    }
}
