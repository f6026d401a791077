//! The smallest permit: it allows one request and no other.
//!
//! Principal, action and resource are named, and so are the person and every argument that policies look into or that was given.
//! It is built in Cedar's JSON form, never as text, so no value can become part of the policy; and it passes the checks that
//! every policy passes before it is shown.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Effect as CedarEffect, Policy, PolicyId, PolicySet, ValidationMode, Validator};
use cedar_policy_core::ast::EntityUID;
use cedar_policy_core::entities::CedarValueJson;
use schemas::decision::{Action, Decision, DecisionRequest};
use serde_json::{Value, json};

use crate::arguments::ArgumentNames;
use crate::inspect;
use crate::publish::CompiledSet;
use crate::selection::Ask;
use crate::slice;
use crate::typed::{Field, Input, Type};

/// A policy that allows exactly one request.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct SmallestPermit {
    /// Its id.
    pub id: String,
    /// As Cedar text.
    pub text: String,
    /// In Cedar's JSON form.
    pub json: Value,
    /// What it leaves open, if anything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub open: Vec<String>,
}

/// Builds it; none where a forbid decides, where nothing could be decided, or where no policy says just this.
pub(super) fn permit(
    set: &CompiledSet,
    request: &DecisionRequest,
    decision: &Decision,
    given: Option<&Value>,
) -> Option<SmallestPermit> {
    if !decision.policies.is_empty() || !decision.errors.is_empty() {
        return None;
    }
    let request = &with_given(set, request, given)?;
    let (parts, entities) = slice::build(&set.typed, request).ok()?;
    let id = free_id(set, request);
    let tool = request.resource.tool().filter(|_| request.action == Action::CallTool);
    let input = tool.and_then(|tool| set.typed.of(tool).ok().flatten());
    let mut clauses: Vec<Value> = person(request).into_iter().collect();
    if request.action == Action::ActFor {
        let client = request.context.client.as_deref();
        clauses.push(equal(&context("client"), &json!({ "Value": client })));
    }
    let mut open = Vec::new();
    if matches!(request.action, Action::CallTool | Action::GetPrompt) {
        clauses.extend(untyped(set, request));
        if let Some(input) = input {
            clauses.extend(typed(input, request)?);
        }
        if given.is_none() {
            open.push(
                "arguments that no policy looks into are not on record, and so are left open".to_owned(),
            );
        }
        if *set.argument_names() == ArgumentNames::All {
            open.push("further arguments: a policy looks into arguments whose names it computes".to_owned());
        }
    }
    // Below `callTool` there are actions of other tools only: this tool has none.
    let operator = if request.action == Action::CallTool && input.is_none() { "in" } else { "==" };
    let body =
        clauses.into_iter().rev().reduce(|rest, clause| json!({ "&&": { "left": clause, "right": rest } }));
    let conditions: Vec<Value> =
        body.map(|body| json!({ "kind": "when", "body": body })).into_iter().collect();
    let whole = json!({
        "effect": "permit",
        "principal": { "op": "==", "entity": entity(&parts.principal) },
        "action": { "op": operator, "entity": entity(&parts.action) },
        "resource": { "op": "==", "entity": entity(&parts.resource) },
        "annotations": { "id": id },
        "conditions": conditions,
    });
    let policy = Policy::from_json(Some(PolicyId::new(&id)), whole.clone()).ok()?;
    let valid = is_valid(set, &policy, &whole);
    let request = parts.into_cedar();
    let alone = PolicySet::from_policies([policy.clone()]).ok()?;
    let verdict = set.selection.ask(Ask::All, &request, &entities);
    let answer = cedar_policy::Authorizer::new().is_authorized(&request, &alone, &entities);
    let allows = answer.decision() == cedar_policy::Decision::Allow && verdict.forbids.is_empty();
    (valid && allows).then(|| SmallestPermit { text: policy.to_string(), json: whole, id, open })
}

/// Whether a policy would pass the checks of publishing.
fn is_valid(set: &CompiledSet, policy: &Policy, json: &Value) -> bool {
    debug_assert_eq!(policy.effect(), CedarEffect::Permit);
    let Ok(policies) = PolicySet::from_policies([policy.clone()]) else { return false };
    let result = Validator::new(set.schema.clone()).validate(&policies, ValidationMode::Strict);
    result.validation_passed_without_warnings() && inspect::policy(json).refusals.is_empty()
}

/// `allow-<who>-<what>`, numbered if it is taken.
fn free_id(set: &CompiledSet, request: &DecisionRequest) -> String {
    let what = request.resource.tool().map_or_else(|| request.resource.name().to_owned(), slice::tool_id);
    let plain =
        |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-') { c } else { '-' };
    let id: String =
        format!("allow-{}-{what}", request.principal.name()).chars().map(plain).take(90).collect();
    if set.policy(&id).is_none() {
        return id;
    }
    let numbered = (2..1_000).map(|number| format!("{id}-{number}"));
    numbered.into_iter().find(|id| set.policy(id).is_none()).unwrap_or(id)
}

fn entity(uid: &EntityUID) -> Value {
    let id: &str = uid.eid().as_ref();
    json!({ "type": uid.entity_type().to_string(), "id": id })
}

fn attribute(of: &Value, name: &str) -> Value {
    json!({ ".": { "left": of, "attr": name } })
}

fn has(of: &Value, name: &str) -> Value {
    json!({ "has": { "left": of, "attr": name } })
}

fn equal(left: &Value, right: &Value) -> Value {
    json!({ "==": { "left": left, "right": right } })
}

fn not(clause: &Value) -> Value {
    json!({ "!": { "arg": clause } })
}

fn context(name: &str) -> Value {
    attribute(&json!({ "Var": "context" }), name)
}

/// On whose behalf.
fn person(request: &DecisionRequest) -> Option<Value> {
    if !request.action.is_of_agents() {
        return None;
    }
    let call = &context("call");
    Some(match &request.context.user {
        Some(user) => {
            let user =
                json!({ "Value": { "__entity": { "type": "Ambit::User", "id": user.name.as_str() } } });
            json!({ "&&": { "left": has(call, "user"), "right": equal(&attribute(call, "user"), &user) } })
        }
        None => not(&has(call, "user")),
    })
}

/// The request with every argument that was given, whether or not policies look into it.
fn with_given(
    set: &CompiledSet,
    request: &DecisionRequest,
    given: Option<&Value>,
) -> Option<DecisionRequest> {
    let mut request = request.clone();
    let Some(given) = given else { return Some(request) };
    // The names of the top alone: each has the whole of what is below it.
    let top: BTreeSet<String> =
        given.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    request.context.args.extend(ArgumentNames::Some(top).select(given).ok()?);
    let typed = request.resource.tool().and_then(|tool| set.typed.of(tool).ok().flatten());
    for (name, ..) in typed.into_iter().flat_map(Input::fields) {
        if let Some(value) = given.get(name) {
            request.context.input.insert(name.to_owned(), value.clone());
        }
    }
    Some(request)
}

/// Every argument that is looked into or was given, by its text.
fn untyped(set: &CompiledSet, request: &DecisionRequest) -> Vec<Value> {
    let mut values: BTreeMap<&str, Option<&str>> = match set.argument_names() {
        ArgumentNames::Some(names) => names.iter().map(|name| (name.as_str(), None)).collect(),
        ArgumentNames::None | ArgumentNames::All => BTreeMap::new(),
    };
    values.extend(request.context.args.iter().map(|(name, text)| (name.as_str(), Some(text.as_str()))));
    let tag = |operation: &str, name: &str| json!({ operation: { "left": context("args"), "right": { "Value": name } } });
    let clauses = values.into_iter().map(|(name, text)| match text {
        Some(text) => {
            let is = equal(&tag("getTag", name), &json!({ "Value": text }));
            json!({ "&&": { "left": tag("hasTag", name), "right": is } })
        }
        None => not(&tag("hasTag", name)),
    });
    clauses.collect()
}

/// Every typed argument that is looked into or was given.
fn typed(input: &Input, request: &DecisionRequest) -> Option<Vec<Value>> {
    let mut clauses = Vec::new();
    for (name, field, shown) in input.fields() {
        let value = request.context.input.get(name);
        if value.is_some() || shown {
            pin(&context("input"), name, field, value, &mut clauses)?;
        }
    }
    Some(clauses)
}

/// That a member of a record has this value, or is not there.
fn pin(
    record: &Value,
    name: &str,
    field: &Field,
    value: Option<&Value>,
    clauses: &mut Vec<Value>,
) -> Option<()> {
    let member = attribute(record, name);
    let Some(value) = value.filter(|value| !value.is_null() || field.kind.takes_null()) else {
        clauses.push(not(&has(record, name)));
        return Some(());
    };
    if !field.required {
        clauses.push(has(record, name));
    }
    match &field.kind {
        Type::Record(fields) => {
            for (name, field) in fields {
                pin(&member, name, field, value.get(name), clauses)?;
            }
        }
        Type::Set(_) if value.as_array().is_some_and(Vec::is_empty) => {
            clauses.push(json!({ "isEmpty": { "arg": member } }));
        }
        // One of several types: what was chosen has no name that a policy could be sure of.
        Type::Choice(_) => return None,
        kind @ (Type::String
        | Type::Long
        | Type::Bool
        | Type::Extension(_)
        | Type::Set(_)
        | Type::Enum(..)
        | Type::Null) => {
            let value = CedarValueJson::from_value(kind.read(value).ok()?).ok()?;
            clauses.push(equal(&member, &json!({ "Value": value })));
        }
    }
    Some(())
}
