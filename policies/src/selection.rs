//! Which policies can apply to a request at all.
//!
//! Cedar evaluates every policy of a set, about 2 µs each, and has no index. So the policies are sorted beforehand by their
//! scopes: per action, and within it those of one principal, of one resource, of one pair, and the rest. A policy that is
//! left out is one whose scope is false for the request; scopes (`==`, `in`, `is`) never err, so nothing else can come of it.
//! The answers of the parts are put together as Cedar does: a permit, no forbid, no error.

use std::collections::{BTreeMap, HashMap};

use cedar_policy::{
    ActionConstraint, Authorizer, Effect, Entities, EntityUid, Policy, PolicySet, PrincipalConstraint,
    Request, ResourceConstraint,
};
use schemas::decision::Action;
use serde_json::Value;

use crate::vocabulary::Vocabulary;

/// The principal and the resource that a policy names in its scope, if it does.
type Named = (Option<EntityUid>, Option<EntityUid>);

/// The policies of a set, by action and by the names in their scopes.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    by_action: BTreeMap<Action, Parts>,
}

/// The policies that can apply to one action.
#[derive(Debug, Default)]
struct Parts {
    general: Bucket,
    named: HashMap<Named, Bucket>,
}

/// Policies of one part.
#[derive(Debug, Default)]
struct Bucket {
    all: PolicySet,
    /// The permits alone: they tell whether a refusal with obligations is worth anybody's approval.
    permits: PolicySet,
}

/// Which policies to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    All,
    Permits,
}

/// What the policies that apply say.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Satisfied permits. Those beside a satisfied forbid are not told apart, as Cedar doesn't: they decided nothing.
    pub(crate) permits: Vec<String>,
    /// Satisfied forbids.
    pub(crate) forbids: Vec<String>,
    /// Policies that could not be evaluated, and why.
    pub(crate) errors: Vec<String>,
}

impl Selection {
    /// Sorts policies, each with its JSON form.
    pub(crate) fn of(policies: &[(Policy, Value)]) -> Result<Self, String> {
        let mut selection = Self::default();
        for (policy, json) in policies {
            let mut shortened: Vec<(&str, Policy)> = Vec::new();
            for action in Action::ALL.into_iter().filter(|action| may_be(policy, *action)) {
                let kind = resource_kind(action);
                let known =
                    shortened.iter().find(|(known, _)| *known == kind).map(|(_, policy)| policy.clone());
                let short = known.unwrap_or_else(|| {
                    let short =
                        without_settled_scope(policy, json.clone(), kind).unwrap_or_else(|| policy.clone());
                    shortened.push((kind, short.clone()));
                    short
                });
                selection.by_action.entry(action).or_default().add(short)?;
            }
        }
        Ok(selection)
    }

    /// Asks every policy that can apply.
    pub(crate) fn ask(&self, ask: Ask, action: Action, request: &Request, entities: &Entities) -> Verdict {
        let mut verdict = Verdict::default();
        let Some(parts) = self.by_action.get(&action) else { return verdict };
        verdict.add(request, parts.general.get(ask), entities);
        if !parts.named.is_empty() {
            let (principal, resource) = (request.principal().cloned(), request.resource().cloned());
            for names in [(principal.clone(), None), (None, resource.clone()), (principal, resource)] {
                if let Some(bucket) = parts.named.get(&names) {
                    verdict.add(request, bucket.get(ask), entities);
                }
            }
        }
        verdict.permits.sort();
        verdict.forbids.sort();
        verdict.errors.sort();
        verdict
    }
}

impl Parts {
    fn add(&mut self, policy: Policy) -> Result<(), String> {
        let bucket = match named(&policy) {
            (None, None) => &mut self.general,
            names => self.named.entry(names).or_default(),
        };
        if policy.effect() == Effect::Permit {
            bucket.permits.add(policy.clone()).map_err(|error| error.to_string())?;
        }
        bucket.all.add(policy).map_err(|error| error.to_string())
    }
}

impl Bucket {
    fn get(&self, ask: Ask) -> &PolicySet {
        match ask {
            Ask::All => &self.all,
            Ask::Permits => &self.permits,
        }
    }
}

impl Verdict {
    fn add(&mut self, request: &Request, policies: &PolicySet, entities: &Entities) {
        if policies.is_empty() {
            return;
        }
        let response = Authorizer::new().is_authorized(request, policies, entities);
        let satisfied = match response.decision() {
            cedar_policy::Decision::Allow => &mut self.permits,
            cedar_policy::Decision::Deny => &mut self.forbids,
        };
        let diagnostics = response.diagnostics();
        satisfied.extend(diagnostics.reason().map(|id| AsRef::<str>::as_ref(id).to_owned()));
        self.errors.extend(diagnostics.errors().map(ToString::to_string));
    }
}

/// Whether the scope of a policy covers an action. What we cannot tell, it does.
fn may_be(policy: &Policy, action: Action) -> bool {
    let Some(entity) = Vocabulary::get().and_then(|names| names.action(action)) else { return true };
    let covers = |uid: &EntityUid| entity.uid() == uid.as_ref() || entity.is_descendant_of(uid.as_ref());
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => covers(&uid),
        ActionConstraint::In(uids) => uids.iter().any(covers),
    }
}

fn named(policy: &Policy) -> Named {
    let principal = match policy.principal_constraint() {
        PrincipalConstraint::Eq(uid) => Some(uid),
        PrincipalConstraint::Any
        | PrincipalConstraint::In(_)
        | PrincipalConstraint::Is(_)
        | PrincipalConstraint::IsIn(..) => None,
    };
    let resource = match policy.resource_constraint() {
        ResourceConstraint::Eq(uid) => Some(uid),
        ResourceConstraint::Any
        | ResourceConstraint::In(_)
        | ResourceConstraint::Is(_)
        | ResourceConstraint::IsIn(..) => None,
    };
    (principal, resource)
}

/// What an action is done to: one type for each of ours.
fn resource_kind(action: Action) -> &'static str {
    match action {
        Action::ListTool | Action::CallTool => "Ambit::Tool",
        Action::ListPrompt | Action::GetPrompt => "Ambit::Prompt",
        Action::ListResource | Action::ReadResource => "Ambit::Resource",
    }
}

/// The policy with those parts of its scope taken out that hold for every request of an action on this type: the action,
/// and the type of principal and resource. A list of six actions costs more to evaluate than the rest of a policy.
fn without_settled_scope(policy: &Policy, mut json: Value, resource: &str) -> Option<Policy> {
    let any = serde_json::json!({ "op": "All" });
    json.as_object_mut()?.insert("action".to_owned(), any.clone());
    for (part, kind) in [("principal", "Ambit::Agent"), ("resource", resource)] {
        let scope = json.get_mut(part)?;
        // `is` alone: `is ... in` says more than the type.
        if *scope == serde_json::json!({ "op": "is", "entity_type": kind }) {
            *scope = any.clone();
        }
    }
    Policy::from_json(Some(policy.id().clone()), json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_settled_is_taken_out_and_no_more() {
        let short = |text: &str, action| {
            let policy = Policy::parse(Some(cedar_policy::PolicyId::new("x")), text).unwrap();
            let short =
                without_settled_scope(&policy, policy.to_json().unwrap(), resource_kind(action)).unwrap();
            assert_eq!(short.annotation("advice"), Some("kept"));
            let json = short.to_json().unwrap();
            ["principal", "action", "resource"].map(|part| json[part]["op"].as_str().unwrap().to_owned())
        };
        let head =
            "@advice(\"kept\") forbid (principal is Ambit::Agent, action == Ambit::Action::\"callTool\",";
        let tool = format!("{head} resource is Ambit::Tool) when {{ true }};");
        assert_eq!(short(&tool, Action::CallTool), ["All", "All", "All"]);
        assert_eq!(short(&tool, Action::GetPrompt), ["All", "All", "is"]);
        let below = format!("{head} resource is Ambit::Tool in Ambit::McpServer::\"a\");");
        assert_eq!(short(&below, Action::CallTool), ["All", "All", "is"]);
        let named = format!("{head} resource == Ambit::Tool::\"a/b\");");
        assert_eq!(short(&named, Action::CallTool), ["All", "All", "=="]);
    }
}
