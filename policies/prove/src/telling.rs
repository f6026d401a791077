//! A counterexample in words: who could do what to what, and what is peculiar about it.

use serde_json::{Map, Value};

use crate::model::{Model, at};

/// ``agent `ci-bot` of `org-1` could call tool `github/delete_repo` (destructive) of `org-2`; permitted by `p-grants` ``.
pub(crate) fn tell(model: &Model, policies: &[String], erring: &[String]) -> String {
    let (who, what) = (entity(model, &model.principal), entity(model, &model.resource));
    let doing = match at(&model.action, "/id").as_str().unwrap_or_default() {
        "callTool" => format!("call {what}"),
        "listTool" | "listPrompt" | "listResource" => format!("see {what} in a list"),
        "getPrompt" => format!("get {what}"),
        "readResource" => format!("read {what}"),
        "useConnection" => format!("use {what}"),
        "actFor" => format!("act for {what}"),
        // An action below `callTool` has the name of its tool: `slack/post_message`.
        typed if typed.contains('/') => format!("call {what}, as `{typed}`"),
        other => format!("do `{other}` on {what}"),
    };
    let could = if erring.is_empty() { "could" } else { "may ask to" };
    let mut text = format!("{who} {could} {doing}");
    for circumstance in circumstances(model) {
        text.push_str(", ");
        text.push_str(&circumstance);
    }
    if !erring.is_empty() {
        text.push_str("; then ");
        text.push_str(&erring.join(", and "));
    } else if !policies.is_empty() {
        let policies: Vec<String> = policies.iter().map(|policy| format!("`{policy}`")).collect();
        text.push_str("; permitted by ");
        text.push_str(&policies.join(", "));
    }
    text
}

/// The word for an entity type: `Ambit::McpServer` is a `server`.
pub(crate) fn word(kind: &str) -> String {
    let name = kind.rsplit("::").next().unwrap_or(kind);
    match name {
        "McpServer" => "server".to_owned(),
        other => other.to_lowercase(),
    }
}

/// An entity with what is peculiar about it: ``tool `github/delete_repo` (destructive) of org `acme` ``.
fn entity(model: &Model, reference: &Value) -> String {
    let mut text =
        format!("{} `{}`", word(at(reference, "/type").as_str().unwrap_or_default()), id(reference));
    let Some(attributes) = model.entity(reference).and_then(|entity| at(entity, "/attrs").as_object()) else {
        return text;
    };
    let mut peculiar: Vec<String> = Vec::new();
    for (name, value) in attributes {
        let of = at(value, "/__entity");
        match (value, at(of, "/id").as_str()) {
            (Value::Bool(true), _) => peculiar.push(spaced(name)),
            (_, Some("active" | "approved" | "verified")) => {}
            (_, Some(state)) if name == "status" => peculiar.push(state.to_owned()),
            (_, Some(state)) if name == "state" => peculiar.push(format!("its definition is {state}")),
            (_, Some(trust)) if name == "trust" => peculiar.push(format!("of trust {trust}")),
            (_, Some(_)) if name == "server" => {
                peculiar.extend(oddities(model, of, attributes).map(|odd| format!("its server is {odd}")));
            }
            (_, Some(owner)) if name == "owner" => {
                let odd: Vec<String> = oddities(model, of, attributes).collect();
                let odd =
                    if odd.is_empty() { String::new() } else { format!(", who is {}", odd.join(" and ")) };
                peculiar.push(format!("owner `{owner}`{odd}"));
            }
            (Value::Array(items), _) if !items.is_empty() && !name.starts_with("granted") => {
                peculiar.push(format!("{} {}", spaced(name), shown(value)));
            }
            _ => {}
        }
    }
    if !peculiar.is_empty() {
        text = format!("{text} ({})", peculiar.join(", "));
    }
    if let Some(org) = attributes.get("org").and_then(|org| at(org, "/__entity/id").as_str()) {
        text = format!("{text} of `{org}`");
    }
    text
}

/// What is odd about an entity that another one refers to: switched off, not trusted, or of another organisation.
fn oddities<'a>(
    model: &'a Model,
    reference: &Value,
    referring: &'a Map<String, Value>,
) -> impl Iterator<Item = String> + use<'a> {
    let attributes = model.entity(reference).and_then(|entity| at(entity, "/attrs").as_object());
    attributes.into_iter().flatten().filter_map(|(name, value)| {
        let id = at(value, "/__entity/id").as_str()?;
        match name.as_str() {
            "status" if id != "active" => Some(id.to_owned()),
            "trust" if id != "verified" => Some(format!("of trust `{id}`")),
            "org" if referring.get("org") != Some(value) => Some(format!("of `{id}`")),
            _ => None,
        }
    })
}

fn circumstances(model: &Model) -> Vec<String> {
    let mut told = Vec::new();
    let context = model.context.as_object().into_iter().flatten();
    let call = at(&model.context, "/call").as_object().into_iter().flatten();
    let rest = context.filter(|(name, _)| *name != "call");
    let home = model.entity(&model.principal).map(|entity| at(entity, "/attrs/org"));
    let approved = model.context.pointer("/call/approval/at");
    let at_once = approved.is_none_or(|time| Some(time) == model.context.pointer("/call/now"));
    for (name, value) in call.chain(rest) {
        let reference = at(value, "/__entity");
        match name.as_str() {
            "now" if at_once => {}
            "org" if Some(value) == home => {}
            "org" => told.push(format!("by the address of `{}`", id(reference))),
            "user" => told.push(format!("on behalf of {}", entity(model, reference))),
            "approval" => {
                let by = entity(model, at(value, "/by/__entity"));
                let when = if at_once { String::new() } else { format!(" at {}", shown(at(value, "/at"))) };
                told.push(format!("approved by {by}{when}"));
            }
            "taint" if shown(value).is_empty() => {}
            "taint" => told.push(format!("after reading what is {}", shown(value))),
            "server" | "tool" => told.push(format!("for {}", entity(model, reference))),
            "args" => {
                let tags = model.entity(reference).and_then(|entity| at(entity, "/tags").as_object());
                for (name, value) in tags.into_iter().flatten() {
                    told.push(format!("with argument `{name}` = {}", shown(value)));
                }
            }
            "input" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    told.push(format!("with argument `{name}` = {}", shown(value)));
                }
            }
            _ if *value == Value::Array(Vec::new()) || *value == Value::Bool(false) => {}
            flag if *value == Value::Bool(true) => told.push(format!("and {}", spaced(flag))),
            _ if reference.is_object() => told.push(format!("{} {}", spaced(name), entity(model, reference))),
            _ => told.push(format!("{} {}", spaced(name), shown(value))),
        }
    }
    told
}

fn id(reference: &Value) -> &str {
    at(reference, "/id").as_str().unwrap_or_default()
}

/// A value of Cedar's JSON, as people write it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => match (fields.get("__entity"), fields.get("__extn")) {
            (Some(entity), _) => format!("`{}`", id(entity)),
            // A time far from now is written as a sum: `datetime("1970-01-01").offset(duration("1ms"))`.
            (_, Some(call)) => match at(call, "/args").as_array() {
                Some(arguments) => arguments.iter().map(shown).collect::<Vec<_>>().join(" + "),
                None => at(call, "/arg").as_str().unwrap_or_default().to_owned(),
            },
            (None, None) => format!("`{value}`"),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => format!("`{value}`"),
    }
}

/// `openWorld` is `open world`.
fn spaced(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 2);
    for c in name.chars() {
        if c.is_uppercase() {
            text.push(' ');
        }
        text.extend(c.to_lowercase());
    }
    text
}
