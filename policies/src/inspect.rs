//! What a policy looks at, found by walking its JSON form: the names of arguments, and facts that we don't have.
//!
//! The schema is wider than what the gateway knows today. A policy on such a fact passes validation and then never
//! matches, which for a forbid is an open door; so it is refused until the fact is there. The walk visits every node,
//! whatever its kind, and takes what it doesn't know for the worst.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::arguments::ArgumentNames;
use crate::typed::InputNames;

/// What the walk found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) arguments: ArgumentNames,
    pub(crate) input: InputNames,
    pub(crate) refusals: BTreeSet<String>,
}

/// What one policy looks at.
#[derive(Debug, Clone)]
pub(crate) struct Looks {
    pub(crate) arguments: ArgumentNames,
    pub(crate) input: InputNames,
    /// Evaluating it may fail on facts that pass every check: arithmetic can overflow.
    pub(crate) may_err: bool,
    /// It reads the clock.
    #[cfg_attr(not(feature = "author"), expect(dead_code, reason = "only replay asks"))]
    pub(crate) clock: bool,
    /// It takes what holds the clock as a whole, or asks whether there is one: then it may read it unnoticed.
    pub(crate) clock_unseen: bool,
}

impl Looks {
    /// Whether it looks into no argument at all, typed or not.
    pub(crate) fn blind(&self) -> bool {
        self.arguments == ArgumentNames::None && self.input == InputNames::Some(BTreeSet::new())
    }
}

/// The JSON form of what a policy says. [`cedar_policy::Policy::to_json`] keeps to how it is written, and for that parses its text
/// once more: a quarter of the time in which a set is made ready.
pub(crate) fn json(policy: &cedar_policy::Policy) -> Result<Value, serde_json::Error> {
    let policy: &cedar_policy_core::ast::Policy = policy.as_ref();
    serde_json::to_value(cedar_policy_core::est::Policy::from(policy.clone()))
}

/// Looks through a policy in its JSON form.
pub(crate) fn policy(json: &Value) -> Found {
    let mut found = Found {
        arguments: ArgumentNames::None,
        input: InputNames::Some(BTreeSet::new()),
        refusals: BTreeSet::new(),
    };
    found.visit(json);
    found
}

impl Found {
    /// What is kept of it beside the policy.
    pub(crate) fn looks(&self, json: &Value) -> Looks {
        Looks {
            arguments: self.arguments.clone(),
            input: self.input.clone(),
            may_err: conditions(json).any(may_err),
            clock: conditions(json).any(|condition| reads_clock(condition) != Clock::Not),
            clock_unseen: conditions(json).any(|condition| reads_clock(condition) == Clock::Unseen),
        }
    }
}

/// The conditions of a policy.
pub(crate) fn conditions(policy: &Value) -> impl Iterator<Item = &Value> {
    let conditions = policy.get("conditions").and_then(Value::as_array).into_iter().flatten();
    conditions.filter_map(|condition| condition.get("body"))
}

/// How an expression reads the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Clock {
    Not,
    /// As `context.call.now` or `context.now`: without a clock this fails.
    Plainly,
    /// Otherwise: without a clock it would have another value and not fail.
    Unseen,
}

fn reads_clock(node: &Value) -> Clock {
    let holds_clock = |node: &Value| is_context(node) || is_of_context(node, "call");
    let access = |key: &str| {
        let access = node.get(key)?;
        holds_clock(access.get("left")?).then(|| access.get("attr")).flatten()
    };
    if let Some(attribute) = access(".").filter(|attribute| *attribute != "call") {
        return if attribute == "now" { Clock::Plainly } else { Clock::Not };
    }
    if let Some(attribute) = access("has").filter(|attribute| !mentions(attribute, "call")) {
        return if mentions(attribute, "now") { Clock::Unseen } else { Clock::Not };
    }
    if holds_clock(node) {
        return Clock::Unseen;
    }
    let worst =
        |values: &mut dyn Iterator<Item = &Value>| values.map(reads_clock).max().unwrap_or(Clock::Not);
    match node {
        Value::Object(fields) => worst(&mut fields.values()),
        Value::Array(items) => worst(&mut items.iter()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Clock::Not,
    }
}

fn is_context(node: &Value) -> bool {
    node.get("Var").and_then(Value::as_str) == Some("context")
}

/// Operations that cannot fail on a complete slice, in a policy that passed strict validation.
const SAFE: [&str; 25] = [
    ".",
    "has",
    "getTag",
    "hasTag",
    "==",
    "!=",
    "in",
    "is",
    "like",
    "&&",
    "||",
    "!",
    "<",
    "<=",
    ">",
    ">=",
    "if-then-else",
    "Set",
    "contains",
    "containsAll",
    "containsAny",
    "isEmpty",
    "isInRange",
    "isIpv4",
    "isIpv6",
];

/// Functions that fail on some texts; the validator has tried them on the literals that they are given.
const TRIED: [&str; 4] = ["datetime", "duration", "decimal", "ip"];

/// Whether evaluating this expression may fail.
fn may_err(expression: &Value) -> bool {
    let Some((operation, of)) = expression.as_object().and_then(|node| node.iter().next()) else {
        return false;
    };
    match operation.as_str() {
        "Value" | "Var" => false,
        "Record" => of.as_object().is_some_and(|fields| fields.values().any(may_err)),
        safe if SAFE.contains(&safe) => match of {
            Value::Object(parts) => parts.iter().any(|(part, value)| {
                !matches!(part.as_str(), "attr" | "pattern" | "entity_type") && may_err(value)
            }),
            Value::Array(parts) => parts.iter().any(may_err),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        },
        tried if TRIED.contains(&tried) => !of
            .as_array()
            .is_some_and(|arguments| arguments.iter().all(|argument| argument.get("Value").is_some())),
        _ => true,
    }
}

/// The tools whose typed actions are named anywhere in this JSON form: ids of actions with a slash.
pub(crate) fn typed_tools(json: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect_actions(json, &mut found);
    found
}

fn collect_actions(node: &Value, found: &mut BTreeSet<String>) {
    match node {
        Value::Object(fields) => {
            let text = |key: &str| fields.get(key).and_then(Value::as_str);
            if let (Some("Ambit::Action"), Some(id)) = (text("type"), text("id"))
                && id.contains('/')
            {
                found.insert(id.to_owned());
            }
            fields.values().for_each(|value| collect_actions(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| collect_actions(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Attributes that no fact fills yet.
const EMPTY_ATTRIBUTES: [&str; 2] = ["mfaAge", "ip"];

/// Plain grants of the agent.
const GRANTS: [&str; 3] = ["grantedToolboxes", "grantedServers", "grantedTools"];

impl Found {
    fn visit(&mut self, node: &Value) {
        if covers_resource(node) {
            return;
        }
        if let Some(name) = input_member(node) {
            self.shows(name);
        } else if is_input(node) {
            self.input = InputNames::All;
        }
        match node {
            Value::Object(fields) => {
                for (key, value) in fields {
                    self.field(key, value);
                    match input_member(node) {
                        // `context.input` itself is accounted for.
                        Some(_) => {}
                        None => self.visit(value),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.visit(item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn shows(&mut self, name: &str) {
        if let InputNames::Some(names) = &mut self.input {
            names.insert(name.to_owned());
        }
    }

    fn field(&mut self, key: &str, value: &Value) {
        let left = value.get("left").unwrap_or(&Value::Null);
        match key {
            "getTag" | "hasTag" => {
                match value.get("right").and_then(|right| right.get("Value")).and_then(Value::as_str) {
                    Some(name) => self.arguments.add(ArgumentNames::Some(BTreeSet::from([name.to_owned()]))),
                    None => self.arguments.add(ArgumentNames::All),
                }
                if !is_args(left) {
                    self.refusals.insert(
                        "only `context.args` has tags yet; tags of anything else are empty, so this could \
                         never match"
                            .to_owned(),
                    );
                }
            }
            "." | "has" => {
                if GRANTS.iter().any(|name| mentions(value.get("attr").unwrap_or(&Value::Null), name)) {
                    self.refusals.insert(
                        "grants hold only what bears on the request; ask whether they cover the resource: \
                         `resource in principal.grantedToolboxes`, `resource in principal.grantedServers`, \
                         `principal.grantedTools.contains(resource)`"
                            .to_owned(),
                    );
                }
                for name in EMPTY_ATTRIBUTES {
                    if mentions(value.get("attr").unwrap_or(&Value::Null), name) {
                        self.refusals.insert(format!(
                            "nothing fills `{name}` yet, so this could never match; leave it out"
                        ));
                    }
                }
            }
            _ => {}
        }
        let looks_into_left = matches!(key, "." | "has" | "in" | "getTag" | "hasTag");
        if looks_into_left && !left.is_null() && reads_owner(left) {
            self.refusals.insert(
                "of an agent's `owner` only the name is known; compare it (`principal.owner == \
                 context.call.user`), and look no further into it"
                    .to_owned(),
            );
        }
    }
}

/// `context.args`, and nothing else.
fn is_args(node: &Value) -> bool {
    is_of_context(node, "args")
}

/// `context.input`, and nothing else.
fn is_input(node: &Value) -> bool {
    is_of_context(node, "input")
}

fn is_of_context(node: &Value, name: &str) -> bool {
    node.get(".").is_some_and(|access| {
        access.get("attr").and_then(Value::as_str) == Some(name)
            && access.get("left").and_then(|left| left.get("Var")).and_then(Value::as_str) == Some("context")
    })
}

/// The argument that `context.input.x` or `context.input has x` looks into.
fn input_member(node: &Value) -> Option<&str> {
    let access = node.get(".").or_else(|| node.get("has"))?;
    let attribute = access.get("attr")?;
    let first = attribute.as_array().map_or(Some(attribute), |path| path.first())?;
    is_input(access.get("left")?).then(|| first.as_str()).flatten()
}

/// `resource in principal.granted...` or `principal.grantedTools.contains(resource)`: what may be asked of grants.
fn covers_resource(node: &Value) -> bool {
    let is = |node: &Value, name: &str| node.get("Var").and_then(Value::as_str) == Some(name);
    let grants = |node: &Value| {
        node.get(".").is_some_and(|access| {
            let attribute = access.get("attr").and_then(Value::as_str);
            attribute.is_some_and(|name| GRANTS.contains(&name))
                && access.get("left").is_some_and(|left| is(left, "principal"))
        })
    };
    let sides = |key: &str| node.get(key).and_then(|node| Some((node.get("left")?, node.get("right")?)));
    sides("in").is_some_and(|(left, right)| is(left, "resource") && grants(right))
        || sides("contains").is_some_and(|(left, right)| grants(left) && is(right, "resource"))
}

/// Whether an attribute name (or the path of an extended `has`) holds this name.
fn mentions(attribute: &Value, name: &str) -> bool {
    match attribute {
        Value::String(text) => text == name,
        Value::Array(path) => path.iter().any(|step| mentions(step, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}

/// Whether the value of this expression may come from an agent's `owner`. Agents are never resources: `resource.owner` is a
/// connection's, of whom everything is known.
fn reads_owner(node: &Value) -> bool {
    match node {
        Value::Object(fields) => fields.iter().any(|(key, value)| {
            let of_resource = value.pointer("/left/Var").and_then(Value::as_str) == Some("resource");
            let owner = mentions(value.get("attr").unwrap_or(&Value::Null), "owner");
            (key == "." && owner && !of_resource) || reads_owner(value)
        }),
        Value::Array(items) => items.iter().any(reads_owner),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_at_the_clock_is_seen() {
        let clock = |condition: &str| {
            let text = format!("permit (principal, action, resource) when {{ {condition} }};");
            let policy = cedar_policy::Policy::parse(None, text).unwrap();
            let json = policy.to_json().unwrap();
            conditions(&json).map(reads_clock).max().unwrap()
        };
        assert_eq!(clock("context.call has user && context.call.user == principal.owner"), Clock::Not);
        assert_eq!(clock("context.args.hasTag(\"now\")"), Clock::Not);
        assert_eq!(
            clock("context.call has approval && context.call.now > context.call.approval.at"),
            Clock::Plainly
        );
        assert_eq!(clock("context.now > datetime(\"2026-01-01\")"), Clock::Plainly);
        for unseen in [
            "context.call has now",
            "context has now",
            "context.call == context.call",
            "context == context",
            "context has call.now",
        ] {
            assert_eq!(clock(unseen), Clock::Unseen, "{unseen}");
        }
    }
}
