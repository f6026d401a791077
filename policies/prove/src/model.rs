//! A request and its entities as Cedar's JSON: a form in which every fact can be named, changed and dropped.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Context, Entities, EntityUid, Request, Schema};
use cedar_policy_symcc::Env;
use serde_json::{Map, Value, json};

use crate::telling;

/// A request and its entities as JSON.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Model {
    /// Cedar's entity reference of the principal: `{"type", "id"}`.
    pub(crate) principal: Value,
    /// The action.
    pub(crate) action: Value,
    /// The resource.
    pub(crate) resource: Value,
    /// The context.
    pub(crate) context: Value,
    /// Cedar's array of entities, without actions.
    pub(crate) entities: Vec<Value>,
}

impl Model {
    pub(crate) fn of(found: &Env) -> Result<Self, String> {
        let Env { request, entities } = found;
        let reference = |uid: Option<&EntityUid>| {
            let uid = uid.ok_or("the solver found a request with a part missing")?;
            Ok::<_, String>(json!({ "type": uid.type_name().to_string(), "id": uid.id().unescaped() }))
        };
        let context = request.context().ok_or("the solver found a request without context")?;
        let entities = entities.to_json_value().map_err(|error| error.to_string())?;
        let action = reference(request.action())?;
        let Value::Array(mut entities) = entities else {
            return Err("the solver found no entities".to_owned());
        };
        // Actions are the schema's.
        entities.retain(|entity| at(entity, "/uid/type") != at(&action, "/type"));
        Ok(Self {
            principal: reference(request.principal())?,
            action,
            resource: reference(request.resource())?,
            context: context.to_json_value().map_err(|error| error.to_string())?,
            entities,
        })
    }

    pub(crate) fn read(&self, schema: &Schema) -> Result<(Request, Entities), String> {
        let uid =
            |reference: &Value| EntityUid::from_json(reference.clone()).map_err(|error| error.to_string());
        let action = uid(&self.action)?;
        let context = Context::from_json_value(self.context.clone(), Some((schema, &action)))
            .map_err(|error| error.to_string())?;
        let request =
            Request::new(uid(&self.principal)?, action, uid(&self.resource)?, context, Some(schema))
                .map_err(|error| error.to_string())?;
        let entities = Entities::from_json_value(Value::Array(self.entities.clone()), Some(schema))
            .map_err(|error| error.to_string())?;
        Ok((request, entities))
    }

    /// The entity that a reference is of.
    pub(crate) fn entity(&self, reference: &Value) -> Option<&Value> {
        self.entities.iter().find(|entity| at(entity, "/uid") == reference)
    }

    /// The same with telling names for entities that the solver made up. Cedar compares ids and never looks into one, so this
    /// changes no decision.
    pub(crate) fn with_names(&self, kept: &BTreeSet<EntityUid>, enumerated: &BTreeSet<String>) -> Self {
        let kept: BTreeSet<(String, String)> =
            kept.iter().map(|uid| (uid.type_name().to_string(), uid.id().unescaped().to_owned())).collect();
        let action = at(&self.action, "/type").as_str().unwrap_or_default().to_owned();
        let mut names: BTreeMap<(String, String), String> = BTreeMap::new();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        let mut renamed = self.clone();
        renamed.each_reference(&mut |kind, id| {
            let old = (kind.to_owned(), id.clone());
            if kept.contains(&old) || enumerated.contains(kind) || *kind == action {
                return;
            }
            let new = names.entry(old).or_insert_with(|| {
                let word = telling::word(kind);
                loop {
                    let count = counts.entry(word.clone()).or_default();
                    *count += 1;
                    let new = format!("{word}-{count}");
                    if !kept.contains(&(kind.to_owned(), new.clone())) {
                        break new;
                    }
                }
            });
            id.clone_from(new);
        });
        renamed
    }

    /// Visits type and id of every reference: principal and resource with what belongs to them, and then all else.
    fn each_reference(&mut self, visit: &mut dyn FnMut(&str, &mut String)) {
        let first = [self.principal.clone(), self.resource.clone()];
        self.entities
            .sort_by_key(|entity| first.iter().position(|uid| at(entity, "/uid") == uid).unwrap_or(2));
        self.entities.iter_mut().for_each(|entity| references(entity, visit));
        for part in [&mut self.principal, &mut self.resource, &mut self.context] {
            references(part, visit);
        }
    }

    /// Leaves the entities that the request leads to.
    pub(crate) fn drop_unreferenced(&mut self) {
        let mut wanted = Map::new();
        let mut pending = vec![self.principal.clone(), self.resource.clone(), self.context.clone()];
        while let Some(mut value) = pending.pop() {
            let mut seen = Vec::new();
            references(&mut value, &mut |kind, id| seen.push(json!({ "type": kind, "id": id })));
            for reference in seen {
                if wanted.insert(reference.to_string(), Value::Null).is_none()
                    && let Some(entity) = self.entity(&reference)
                {
                    pending.push(json!([at(entity, "/attrs"), at(entity, "/parents"), at(entity, "/tags")]));
                }
            }
        }
        self.entities.retain(|entity| wanted.contains_key(&at(entity, "/uid").to_string()));
    }
}

/// Visits every reference in a value: an object of exactly `type` and `id`, both text. Cedar's JSON has no other such object but a
/// record with those two fields, of which the schema has none.
fn references(value: &mut Value, visit: &mut dyn FnMut(&str, &mut String)) {
    match value {
        Value::Object(fields) => match (fields.len(), fields.get("type").cloned(), fields.get_mut("id")) {
            (2, Some(Value::String(kind)), Some(Value::String(id))) => visit(&kind, id),
            _ => fields.values_mut().for_each(|field| references(field, visit)),
        },
        Value::Array(items) => items.iter_mut().for_each(|item| references(item, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What a JSON pointer leads to; null if nothing is there.
pub(crate) fn at<'v>(value: &'v Value, pointer: &str) -> &'v Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}
