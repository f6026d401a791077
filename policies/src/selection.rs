//! Which policies can apply to a request at all.
//!
//! Cedar evaluates every policy of a set, about 2 µs each, and has no index. So the policies are sorted beforehand by their
//! scopes: per action, and within it those of one principal, of one resource, of one pair, and the rest. A policy that is
//! left out is one whose scope is false for the request; scopes (`==`, `in`, `is`) never err, so nothing else can come of it.
//! The answers of the parts are put together as Cedar does: a permit, no forbid, no error.

use std::collections::HashMap;

use cedar_policy::{
    ActionConstraint, Authorizer, Effect, Entities, EntityUid, Policy, PolicyId, PolicySet,
    PrincipalConstraint, Request, ResourceConstraint,
};
use cedar_policy_core::ast::Entity;
use schemas::decision::Action;
use serde_json::Value;

use crate::inspect::Looks;
use crate::typed::Typed;
use crate::vocabulary::Vocabulary;

/// The principal and the resource that a policy names in its scope, if it does.
type Named = (Option<EntityUid>, Option<EntityUid>);

/// The policies of a set, by action and by the names in their scopes.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    by_action: HashMap<EntityUid, Parts>,
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
    /// Those that look into no argument.
    blind: PolicySet,
    /// The others, by id.
    looking: Vec<String>,
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
    /// Sorts policies, each with its JSON form, by every action there is: those of the schema, and typed ones.
    pub(crate) fn of(
        policies: &[(Policy, Value)],
        looks: &HashMap<String, Looks>,
        typed: &Typed,
    ) -> Result<Self, String> {
        let names = Vocabulary::get().ok_or("the schema of this build lacks a name")?;
        let known = Action::ALL.into_iter().filter_map(|action| Some((action, names.action(action)?)));
        let actions: Vec<(Action, &Entity)> =
            known.chain(typed.actions().map(|entity| (Action::CallTool, entity))).collect();
        let mut selection = Self::default();
        for (policy, json) in policies {
            let blind = looks.get(AsRef::<str>::as_ref(policy.id())).is_some_and(Looks::blind);
            let mut shortened: Vec<(Kinds, Policy)> = Vec::new();
            for (action, entity) in &actions {
                let kinds = kinds(*action);
                if !may_be(policy, entity) || is_of_another(policy, kinds) {
                    continue;
                }
                let known =
                    shortened.iter().find(|(known, _)| *known == kinds).map(|(_, policy)| policy.clone());
                let short = known.unwrap_or_else(|| {
                    let short =
                        without_settled_scope(policy, json.clone(), kinds).unwrap_or_else(|| policy.clone());
                    shortened.push((kinds, short.clone()));
                    short
                });
                selection.by_action.entry(entity.uid().clone().into()).or_default().add(short, blind)?;
            }
        }
        Ok(selection)
    }

    /// The policies that can apply to a request: those of the parts that its names choose.
    fn parts(&self, request: &Request) -> impl Iterator<Item = &Bucket> {
        let parts = request.action().and_then(|action| self.by_action.get(action));
        let named = parts.filter(|parts| !parts.named.is_empty());
        let (principal, resource) = (request.principal().cloned(), request.resource().cloned());
        let names = [(principal.clone(), None), (None, resource.clone()), (principal, resource)];
        let named = named.into_iter().flat_map(move |parts| {
            names.clone().into_iter().filter_map(move |names| parts.named.get(&names))
        });
        parts.map(|parts| &parts.general).into_iter().chain(named)
    }

    /// Asks the policies that are certain whatever the arguments are, and tells of the others by id. Those that look into no
    /// argument are; of the others `certain` is asked.
    pub(crate) fn ask_certain(
        &self,
        ask: Ask,
        request: &Request,
        entities: &Entities,
        certain: impl Fn(&str) -> bool,
    ) -> (Verdict, Vec<&str>) {
        let (mut verdict, mut open) = (Verdict::default(), Vec::new());
        for bucket in self.parts(request) {
            match ask {
                Ask::All => verdict.add(request, &bucket.blind, entities),
                Ask::Permits => {
                    let permits = bucket.blind.policies().filter(|policy| policy.effect() == Effect::Permit);
                    permits.for_each(|policy| verdict.add_one(request, policy.clone(), entities));
                }
            }
            for id in &bucket.looking {
                match bucket.get(ask).policy(&PolicyId::new(id)) {
                    Some(policy) if certain(id) => verdict.add_one(request, policy.clone(), entities),
                    Some(_) => open.push(id.as_str()),
                    None => {}
                }
            }
        }
        (verdict, open)
    }

    /// Asks every policy that can apply.
    pub(crate) fn ask(&self, ask: Ask, request: &Request, entities: &Entities) -> Verdict {
        let mut verdict = Verdict::default();
        for bucket in self.parts(request) {
            verdict.add(request, bucket.get(ask), entities);
        }
        verdict.permits.sort();
        verdict.forbids.sort();
        verdict.errors.sort();
        verdict
    }
}

impl Parts {
    fn add(&mut self, policy: Policy, blind: bool) -> Result<(), String> {
        let bucket = match named(&policy) {
            (None, None) => &mut self.general,
            names => self.named.entry(names).or_default(),
        };
        if policy.effect() == Effect::Permit {
            bucket.permits.add(policy.clone()).map_err(|error| error.to_string())?;
        }
        if blind {
            bucket.blind.add(policy.clone()).map_err(|error| error.to_string())?;
        } else {
            bucket.looking.push(policy.id().to_string());
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
    pub(crate) fn add_one(&mut self, request: &Request, policy: Policy, entities: &Entities) {
        match PolicySet::from_policies([policy]) {
            Ok(policies) => self.add(request, &policies, entities),
            Err(error) => self.errors.push(error.to_string()),
        }
    }

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

/// Whether some permit is of calls and not of lists: then a tool may be called that no permit lists.
pub(crate) fn permits_unlisted_calls(policies: &[(Policy, Value)], typed: &Typed) -> bool {
    let Some(names) = Vocabulary::get() else { return true };
    let (call, list) = (names.action(Action::CallTool), names.action(Action::ListTool));
    let calls: Vec<&Entity> = call.into_iter().chain(typed.actions()).collect();
    let permits = policies.iter().filter(|(policy, _)| policy.effect() == Effect::Permit);
    permits.into_iter().any(|(policy, _)| {
        calls.iter().any(|call| may_be(policy, call)) && !list.is_some_and(|list| may_be(policy, list))
    })
}

/// Whether the scope of a policy covers an action.
fn may_be(policy: &Policy, action: &Entity) -> bool {
    let covers = |uid: &EntityUid| action.uid() == uid.as_ref() || action.is_descendant_of(uid.as_ref());
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => covers(&uid),
        ActionConstraint::In(uids) => uids.iter().any(covers),
    }
}

/// Whether the scope of a policy is for principals of another type than those of the action.
fn is_of_another(policy: &Policy, (principal, _): Kinds) -> bool {
    match policy.principal_constraint() {
        PrincipalConstraint::Is(kind) | PrincipalConstraint::IsIn(kind, _) => kind.to_string() != principal,
        PrincipalConstraint::Any | PrincipalConstraint::In(_) | PrincipalConstraint::Eq(_) => false,
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

/// The types of the principals and of the resources of an action; none where there are several.
type Kinds = (&'static str, Option<&'static str>);

fn kinds(action: Action) -> Kinds {
    let principal = if action.is_of_agents() { "Ambit::Agent" } else { "Ambit::User" };
    let resource = match action {
        Action::ListTool | Action::CallTool | Action::ApproveCall => Some("Ambit::Tool"),
        Action::ListPrompt | Action::GetPrompt => Some("Ambit::Prompt"),
        Action::ListResource | Action::ReadResource => Some("Ambit::Resource"),
        Action::UseConnection | Action::Connect | Action::Revoke | Action::Share => Some("Ambit::Connection"),
        Action::Administer | Action::PublishPolicy | Action::ReadPolicy | Action::ReadAudit => {
            Some("Ambit::Org")
        }
        Action::Deploy | Action::ApproveTool => None,
    };
    (principal, resource)
}

/// The policy with those parts of its scope taken out that hold for every request of an action on this type: the action,
/// and the type of principal and resource. A list of six actions costs more to evaluate than the rest of a policy.
fn without_settled_scope(policy: &Policy, mut json: Value, (principal, resource): Kinds) -> Option<Policy> {
    let any = serde_json::json!({ "op": "All" });
    json.as_object_mut()?.insert("action".to_owned(), any.clone());
    for (part, kind) in [("principal", Some(principal)), ("resource", resource)] {
        let Some(kind) = kind else { continue };
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
            let short = without_settled_scope(&policy, policy.to_json().unwrap(), kinds(action)).unwrap();
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
