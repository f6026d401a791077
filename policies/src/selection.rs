//! Which policies can apply to a request at all, and what they say.
//!
//! Cedar's authorizer asks every policy of a set, about 2 µs each, and has no index. So the policies are sorted beforehand by
//! their scopes: per action, and within it those of one principal, of one resource, of one pair, and the rest. A policy that is
//! left out is one whose scope is false for the request; scopes (`==`, `in`, `is`) never err, so nothing else can come of it.
//!
//! Each that is left is one expression, put together beforehand, that Cedar's evaluator is given; the authorizer would put it
//! together anew each time. The answers are put together as Cedar does: a permit, no forbid, no error.

use std::collections::HashMap;
use std::sync::Arc;

use cedar_policy::{
    ActionConstraint, Effect, Entities, EntityUid, Policy, PrincipalConstraint, Request, ResourceConstraint,
};
use cedar_policy_core::ast::{self, Entity, Expr, Literal, PrincipalOrResourceConstraint, ValueKind};
use cedar_policy_core::est;
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;
use schemas::decision::Action;

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
    general: Vec<Arc<Rule>>,
    named: HashMap<Named, Vec<Arc<Rule>>>,
}

/// A policy, as it is evaluated.
#[derive(Debug)]
struct Rule {
    id: String,
    effect: Effect,
    /// It looks into no argument.
    blind: bool,
    /// True if the policy is satisfied.
    condition: Expr,
}

/// Which policies to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    All,
    /// The permits alone: they tell whether a refusal with obligations is worth anybody's approval.
    Permits,
}

/// What the policies that apply say.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Satisfied permits. Beside a satisfied forbid they decided nothing.
    pub(crate) permits: Vec<String>,
    /// Satisfied forbids.
    pub(crate) forbids: Vec<String>,
    /// Policies that could not be evaluated, and why.
    pub(crate) errors: Vec<String>,
}

impl Selection {
    /// Sorts policies by every action there is: those of the schema, and typed ones.
    pub(crate) fn of(
        policies: &[Policy],
        looks: &HashMap<String, Looks>,
        typed: &Typed,
    ) -> Result<Self, String> {
        let names = Vocabulary::get().ok_or("the schema of this build lacks a name")?;
        let known = Action::ALL.into_iter().filter_map(|action| Some((action, names.action(action)?)));
        let actions: Vec<(Kinds, &Entity)> = known
            .chain(typed.actions().map(|entity| (Action::CallTool, entity)))
            .map(|(action, entity)| (kinds(action), entity))
            .collect();
        let mut selection = Self::default();
        for policy in policies {
            let blind = looks.get(AsRef::<str>::as_ref(policy.id())).is_some_and(Looks::blind);
            let plain = without_places(policy)?;
            // Most actions are on the same types.
            let mut known: Vec<(Kinds, Arc<Rule>)> = Vec::new();
            for (kinds, entity) in &actions {
                if !may_be(policy, entity) || is_of_another(policy, *kinds) {
                    continue;
                }
                let rule = if let Some((_, rule)) = known.iter().find(|(known, _)| known == kinds) {
                    Arc::clone(rule)
                } else {
                    let rule = Arc::new(Rule {
                        id: policy.id().to_string(),
                        effect: policy.effect(),
                        blind,
                        condition: condition(&plain, *kinds),
                    });
                    known.push((*kinds, Arc::clone(&rule)));
                    rule
                };
                let parts = selection.by_action.entry(entity.uid().clone().into()).or_default();
                match named(policy) {
                    (None, None) => parts.general.push(rule),
                    names => parts.named.entry(names).or_default().push(rule),
                }
            }
        }
        Ok(selection)
    }

    /// The policies that can apply to a request: those of the parts that its names choose.
    fn rules(&self, ask: Ask, request: &Request) -> impl Iterator<Item = &Rule> {
        let parts = request.action().and_then(|action| self.by_action.get(action));
        let named = parts.filter(|parts| !parts.named.is_empty()).map(|parts| {
            let (principal, resource) = (request.principal().cloned(), request.resource().cloned());
            let names = [(principal.clone(), None), (None, resource.clone()), (principal, resource)];
            names.map(|names| parts.named.get(&names))
        });
        let general = parts.map(|parts| &parts.general);
        let rules = general.into_iter().chain(named.into_iter().flatten().flatten()).flatten();
        rules.map(AsRef::as_ref).filter(move |rule: &&Rule| match ask {
            Ask::All => true,
            Ask::Permits => rule.effect == Effect::Permit,
        })
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
        let evaluator = evaluator(request, entities);
        let (mut verdict, mut open) = (Verdict::default(), Vec::new());
        for rule in self.rules(ask, request) {
            if rule.blind || certain(&rule.id) {
                verdict.add(rule, &evaluator);
            } else {
                open.push(rule.id.as_str());
            }
        }
        (verdict, open)
    }

    /// Asks every policy that can apply.
    pub(crate) fn ask(&self, ask: Ask, request: &Request, entities: &Entities) -> Verdict {
        let evaluator = evaluator(request, entities);
        let mut verdict = Verdict::default();
        for rule in self.rules(ask, request) {
            verdict.add(rule, &evaluator);
        }
        verdict.permits.sort();
        verdict.forbids.sort();
        verdict.errors.sort();
        verdict
    }
}

fn evaluator<'e>(request: &Request, entities: &'e Entities) -> Evaluator<'e> {
    let request: &ast::Request = request.as_ref();
    Evaluator::new(request.clone(), entities.as_ref(), Extensions::all_available())
}

impl Verdict {
    fn add(&mut self, rule: &Rule, evaluator: &Evaluator<'_>) {
        let satisfied = match evaluator.interpret(&rule.condition, &ast::SlotEnv::new()) {
            Ok(ast::Value { value: ValueKind::Lit(Literal::Bool(satisfied)), .. }) => Ok(satisfied),
            Ok(_) => Err("its condition is neither true nor false".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        match (satisfied, rule.effect) {
            (Ok(true), Effect::Permit) => self.permits.push(rule.id.clone()),
            (Ok(true), Effect::Forbid) => self.forbids.push(rule.id.clone()),
            (Ok(false), _) => {}
            (Err(why), _) => self.errors.push(format!("error while evaluating policy `{}`: {why}", rule.id)),
        }
    }
}

/// Whether some permit is of calls and not of lists: then a tool may be called that no permit lists.
pub(crate) fn permits_unlisted_calls(policies: &[Policy], typed: &Typed) -> bool {
    let Some(names) = Vocabulary::get() else { return true };
    let (call, list) = (names.action(Action::CallTool), names.action(Action::ListTool));
    let calls: Vec<&Entity> = call.into_iter().chain(typed.actions()).collect();
    let mut permits = policies.iter().filter(|policy| policy.effect() == Effect::Permit);
    permits.any(|policy| {
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
        Action::ActFor => Some("Ambit::User"),
        Action::Administer | Action::PublishPolicy | Action::ReadPolicy | Action::ReadAudit => {
            Some("Ambit::Org")
        }
        Action::Deploy | Action::ApproveTool => None,
    };
    (principal, resource)
}

/// The policy without the places in its text that expressions carry: the evaluator would copy one with every value.
fn without_places(policy: &Policy) -> Result<ast::Policy, String> {
    let core: &ast::Policy = policy.as_ref();
    let plain = est::Policy::from(core.clone());
    plain.try_into_ast_policy(Some(core.id().clone())).map_err(|error| error.to_string())
}

/// The condition of a policy, without those parts of its scope that hold for every request of an action on this type: the action,
/// and the type of principal and resource. A list of six actions costs more to evaluate than the rest of a policy.
fn condition(policy: &ast::Policy, (principal, resource): Kinds) -> Expr {
    let (principals, resources) = (policy.principal_constraint(), policy.resource_constraint());
    let principal = (!is_settled(principals.as_inner(), Some(principal))).then(|| principals.as_expr());
    let resource = (!is_settled(resources.as_inner(), resource)).then(|| resources.as_expr());
    let conditions = [principal, resource, policy.non_scope_constraints().cloned()];
    let all = conditions.into_iter().flatten().rev().reduce(|rest, first| Expr::and(first, rest));
    all.unwrap_or_else(|| Expr::val(true))
}

/// Whether this part of a scope holds for everything of this type. `is ... in` says more than the type.
fn is_settled(scope: &PrincipalOrResourceConstraint, kind: Option<&str>) -> bool {
    match scope {
        PrincipalOrResourceConstraint::Any => true,
        PrincipalOrResourceConstraint::Is(of) => kind.is_some_and(|kind| of.to_string() == kind),
        PrincipalOrResourceConstraint::In(_)
        | PrincipalOrResourceConstraint::Eq(_)
        | PrincipalOrResourceConstraint::IsIn(..) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_settled_is_taken_out_and_no_more() {
        let left = |text: &str, action| {
            let policy = Policy::parse(Some(cedar_policy::PolicyId::new("x")), text).unwrap();
            condition(&without_places(&policy).unwrap(), kinds(action)).to_string()
        };
        let head =
            "@advice(\"kept\") forbid (principal is Ambit::Agent, action == Ambit::Action::\"callTool\",";
        let tool =
            format!("{head} resource is Ambit::Tool) when {{ context has x }} unless {{ context has y }};");
        let rest = "(context has x) && (!(context has y))";
        assert_eq!(left(&tool, Action::CallTool), rest);
        assert_eq!(left(&tool, Action::GetPrompt), format!("(resource is Ambit::Tool) && ({rest})"));
        let below = format!("{head} resource is Ambit::Tool in Ambit::McpServer::\"a\");");
        let within = "(resource is Ambit::Tool) && (resource in Ambit::McpServer::\"a\")";
        assert_eq!(left(&below, Action::CallTool), within);
        let named = format!("{head} resource == Ambit::Tool::\"a/b\");");
        assert_eq!(left(&named, Action::CallTool), "resource == Ambit::Tool::\"a/b\"");
        assert_eq!(left(&format!("{head} resource);"), Action::CallTool), "true");
    }
}
