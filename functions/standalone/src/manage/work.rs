//! What is done to things of every kind.

use http::Method;
use serde_json::{Map, Value, json};

use super::table;
use super::things::Kind;
use crate::operate::Failure;
use crate::remote::{Asked, Gateway, Outdated, Usage, part};
use crate::telling;

/// Things on a page; the API gives no more at once.
const PAGE: &str = "500";
/// How often a change is tried again that somebody else was quicker with.
const TRIES: usize = 4;

/// A gateway, and how its answers are shown.
pub(super) struct Work {
    pub(super) gateway: Gateway,
    pub(super) json: bool,
}

impl Work {
    /// Shows a list, page by page to its end.
    pub(super) fn list(&self, kind: &Kind, filters: &[(&str, Option<&str>)]) -> Result<(), Failure> {
        let things = self.collect(kind.path, filters)?;
        self.show_list(kind.many, kind.columns, &things)
    }

    /// Everything of a list.
    pub(super) fn collect(
        &self,
        path: &str,
        filters: &[(&str, Option<&str>)],
    ) -> Result<Vec<Value>, Failure> {
        let mut things = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            query.append_pair("limit", PAGE);
            for (name, value) in filters {
                if let Some(value) = value {
                    query.append_pair(name, value);
                }
            }
            if let Some(cursor) = &cursor {
                query.append_pair("cursor", cursor);
            }
            let asked = Asked::new(Method::GET, &format!("{path}?{}", query.finish()));
            // Organisations are not below one.
            let mut page = if path.starts_with("/orgs") {
                self.gateway.send_beside(&asked)?
            } else {
                self.gateway.send(&asked)?
            };
            let next = page.value.get("next").and_then(Value::as_str).map(str::to_owned);
            let members = page.value.as_object_mut().into_iter().flat_map(|page| page.values_mut());
            things.extend(members.filter_map(Value::as_array_mut).flat_map(std::mem::take));
            // A gateway that gives the same page for ever must not hold us.
            if next.is_none() || next == cursor {
                return Ok(things);
            }
            cursor = next;
        }
    }

    pub(super) fn show_list(
        &self,
        many: &str,
        columns: &[table::Column],
        things: &[Value],
    ) -> Result<(), Failure> {
        if self.json {
            return telling::json(&things);
        }
        if things.is_empty() {
            return telling::say(&format!("no {many}"));
        }
        telling::say(&table::table(columns, things))
    }

    /// Shows one thing.
    pub(super) fn show(&self, kind: &Kind, name: &str) -> Result<(), Failure> {
        self.tell(&self.read(kind, name)?)
    }

    /// One thing.
    pub(super) fn read(&self, kind: &Kind, name: &str) -> Result<Value, Failure> {
        self.gateway.get(&address(kind, name))
    }

    /// Makes a thing that is not there yet.
    pub(super) fn create(&self, kind: &Kind, name: &str, body: &Value) -> Result<(), Failure> {
        let asked = Asked::new(Method::PUT, &address(kind, name)).with(body).if_new();
        let made = self.gateway.send(&asked).map_err(|error| {
            if error.is::<Outdated>() {
                format!("there is a {} `{name}` already: change it with `ambit {} set`", kind.name, kind.name)
                    .into()
            } else {
                error
            }
        })?;
        self.tell(&made.value)
    }

    /// Changes parts of a thing.
    pub(super) fn change(&self, kind: &Kind, name: &str, patch: Map<String, Value>) -> Result<(), Failure> {
        if patch.is_empty() {
            return Err(Usage(format!("say what to change: see `ambit {} set --help`", kind.name)).into());
        }
        let changed = self.gateway.ask(Method::PATCH, &address(kind, name), &Value::Object(patch))?;
        self.tell(&changed)
    }

    /// Switches a thing off or on.
    pub(super) fn set_status(&self, kind: &Kind, name: &str, status: &str) -> Result<(), Failure> {
        let changed = self.gateway.ask(Method::PATCH, &address(kind, name), &json!({ "status": status }))?;
        if self.json {
            return self.tell(&changed);
        }
        telling::say(&format!("{} `{name}` is {status}", kind.name))
    }

    /// Takes a thing away.
    pub(super) fn delete(&self, kind: &Kind, name: &str) -> Result<(), Failure> {
        self.end(&address(kind, name), &format!("{} `{name}` is deleted", kind.name))
    }

    /// Takes away what is at an address; says so to people.
    pub(super) fn end(&self, path: &str, told: &str) -> Result<(), Failure> {
        let answer = self.gateway.ask(Method::DELETE, path, &Value::Null)?;
        match (self.json, answer) {
            (true, Value::Null) => Ok(()),
            (true, answer) => telling::json(&answer),
            (false, _) => telling::say(told),
        }
    }

    /// Changes a thing by what it is now. Whoever else changes it at the same time loses nothing.
    pub(super) fn revise(
        &self,
        kind: &Kind,
        name: &str,
        revise: impl Fn(&Value) -> Map<String, Value>,
    ) -> Result<(), Failure> {
        let path = address(kind, name);
        for _ in 1..TRIES {
            let now = self.gateway.send(&Asked::new(Method::GET, &path))?;
            let change = Value::Object(revise(&now.value));
            let asked = Asked::new(Method::PATCH, &path).with(&change).if_still(now.tag.as_deref());
            match self.gateway.send(&asked) {
                Ok(changed) => return self.tell(&changed.value),
                Err(error) if error.is::<Outdated>() => {}
                Err(error) => return Err(error),
            }
        }
        Err(format!("{} `{name}` changes all the time: try again", kind.name).into())
    }

    /// Puts a thing as it is, but for the change, where parts of one can't be changed alone. What the gateway says of it by itself is
    /// left out. Whoever else changes it at the same time is told so.
    pub(super) fn replace(
        &self,
        kind: &Kind,
        name: &str,
        its_own: &[&str],
        change: &Map<String, Value>,
    ) -> Result<(), Failure> {
        if change.is_empty() {
            return Err(Usage(format!("say what to change: see `ambit {} set --help`", kind.name)).into());
        }
        let path = address(kind, name);
        let now = self.gateway.send(&Asked::new(Method::GET, &path))?;
        let mut whole = now.value.as_object().cloned().unwrap_or_default();
        whole.retain(|member, value| {
            !["name", "id", "createdAt"].contains(&member.as_str())
                && !its_own.contains(&member.as_str())
                && !value.is_null()
        });
        whole.extend(change.clone());
        let asked = Asked::new(Method::PUT, &path).with(&Value::Object(whole)).if_still(now.tag.as_deref());
        self.tell(&self.gateway.send(&asked)?.value)
    }

    /// Shows one thing, as it was answered.
    pub(super) fn tell(&self, thing: &Value) -> Result<(), Failure> {
        if self.json { telling::json(thing) } else { telling::say(&table::sheet(thing)) }
    }
}

/// Where a thing is.
pub(super) fn address(kind: &Kind, name: &str) -> String {
    format!("{}/{}", kind.path, part(name))
}

/// A list with these added, or taken away. What is there keeps its place.
pub(super) fn revised(now: &Value, member: &str, these: &[String], add: bool) -> Value {
    let mut list: Vec<Value> = now.get(member).and_then(Value::as_array).cloned().unwrap_or_default();
    let is_of_these = |value: &Value| these.iter().any(|one| value == one.as_str());
    if add {
        let new: Vec<Value> = these.iter().map(|one| json!(one)).filter(|one| !list.contains(one)).collect();
        list.extend(new);
    } else {
        list.retain(|value| !is_of_these(value));
    }
    Value::Array(list)
}

/// A change of those members that were given.
pub(super) fn patch<const N: usize>(members: [(&str, Option<Value>); N]) -> Map<String, Value> {
    members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// A list, if any of it was given.
pub(super) fn given(list: &[String]) -> Option<Value> {
    (!list.is_empty()).then(|| json!(list))
}
