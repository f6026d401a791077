//! Typed arguments: `context.input`, made from a tool's approved definition.
//!
//! A tool gets an action of its own, `Ambit::Action::"server/tool"` below `callTool`, as soon as a policy names that action. Its
//! types come from `cedar-policy-mcp-schema-generator`; what neither it nor Cedar can express (see [`types`]) is left out, so that a
//! policy that looks there fails its check instead of never matching.

mod generate;
mod types;

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Schema, SchemaFragment};
use cedar_policy_core::ast::{Entity, Value};
use schemas::decision::ToolFacts;
use schemas::ids::Sha256Hex;
use schemas::inventory::ToolDefinition;
use serde_json::{Value as Json, json};

use crate::arguments::ArgumentNames;
use crate::slice::tool_id;
use crate::vocabulary;
pub(crate) use types::Type;

/// Which members of `context.input` the policies look into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InputNames {
    Some(BTreeSet<String>),
    All,
}

impl InputNames {
    /// Whether the policies name this member.
    pub(crate) fn names(&self, name: &str) -> bool {
        matches!(self, Self::Some(names) if names.contains(name))
    }

    /// Adds what another policy looks into.
    pub(crate) fn add(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Some(names), Self::Some(more)) => names.extend(more),
            (_, Self::All) => *self = Self::All,
            (Self::All, Self::Some(_)) => {}
        }
    }

    /// Whether the policies look into this member.
    pub(crate) fn contains(&self, name: &str) -> bool {
        match self {
            Self::Some(names) => names.contains(name),
            Self::All => true,
        }
    }
}

/// The tools of a policy set that have typed arguments.
#[derive(Debug, Default)]
pub(crate) struct Typed {
    inputs: BTreeMap<String, Input>,
}

/// The typed arguments of one tool.
#[derive(Debug)]
pub(crate) struct Input {
    tool: String,
    action: Entity,
    definition: Sha256Hex,
    fields: BTreeMap<String, Field>,
    /// The names that policies look into.
    shown: InputNames,
}

/// A member of a record.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) kind: Type,
    pub(crate) required: bool,
}

/// Why arguments have no typed form. Nothing is decided on a guess: every reason denies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misfit {
    #[error("the policies know tool `{0}` by another definition than the approved one: publish them again")]
    Definition(String),
    #[error("argument `{argument}` of tool `{tool}` is missing")]
    Missing { tool: String, argument: String },
    #[error("argument `{argument}` of tool `{tool}` is not {expected}")]
    Argument { tool: String, argument: String, expected: String },
}

impl Typed {
    /// The typed arguments of a tool, if it has any.
    pub(crate) fn of(&self, tool: &ToolFacts) -> Result<Option<&Input>, Misfit> {
        if self.inputs.is_empty() {
            return Ok(None);
        }
        match self.inputs.get(&tool_id(tool)) {
            Some(input) if input.definition == tool.definition => Ok(Some(input)),
            Some(input) => Err(Misfit::Definition(input.tool.clone())),
            None => Ok(None),
        }
    }

    /// Every typed action, with its groups.
    pub(crate) fn actions(&self) -> impl Iterator<Item = &Entity> {
        self.inputs.values().map(|input| &input.action)
    }

    /// Every tool with typed arguments, by id.
    pub(crate) fn tools(&self) -> impl Iterator<Item = &str> {
        self.inputs.keys().map(String::as_str)
    }
}

impl Input {
    pub(crate) fn action(&self) -> &Entity {
        &self.action
    }

    /// The arguments that the policies look into, as they were sent.
    pub(crate) fn select(&self, arguments: &Json) -> BTreeMap<String, Json> {
        let Json::Object(arguments) = arguments else { return BTreeMap::new() };
        let looked_into = arguments.iter().filter(|(name, _)| self.shown.contains(name));
        looked_into
            .filter(|(name, _)| self.fields.contains_key(*name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Every argument, and whether policies look into it.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&str, &Field, bool)> {
        self.fields.iter().map(|(name, field)| (name.as_str(), field, self.shown.contains(name)))
    }

    /// Whether every argument that policies look into is known.
    pub(crate) fn is_known(&self, known: &ArgumentNames) -> bool {
        self.fields.keys().all(|name| !self.shown.contains(name) || known.contains(name))
    }

    /// The record `context.input`, of those arguments that are known.
    pub(crate) fn read(
        &self,
        arguments: &BTreeMap<String, Json>,
        known: &ArgumentNames,
    ) -> Result<Value, Misfit> {
        let mut record = Vec::with_capacity(arguments.len());
        for (name, field) in self.fields.iter().filter(|(name, _)| known.contains(name)) {
            match arguments.get(name).filter(|value| !value.is_null() || field.kind.takes_null()) {
                Some(value) => {
                    let misfit = |expected| Misfit::Argument {
                        tool: self.tool.clone(),
                        argument: name.clone(),
                        expected,
                    };
                    record.push((
                        smol_str::SmolStr::from(name.as_str()),
                        field.kind.read(value).map_err(misfit)?,
                    ));
                }
                None if field.required && self.shown.contains(name) => {
                    return Err(Misfit::Missing { tool: self.tool.clone(), argument: name.clone() });
                }
                None => {}
            }
        }
        Ok(Value::record(record, None))
    }
}

/// The schema with the typed actions of these tools.
#[derive(Debug)]
pub(crate) struct Extended {
    pub(crate) fragment: SchemaFragment,
    pub(crate) schema: Schema,
    inputs: Vec<(String, Sha256Hex, BTreeMap<String, Field>)>,
    /// Arguments that no policy can look into, each with the reason, by `server/tool`.
    pub(crate) opaque: BTreeMap<String, BTreeMap<String, String>>,
}

/// Extends the schema of this build by the typed actions of these tools.
pub(crate) fn extend(tools: &[ToolDefinition]) -> Result<Extended, String> {
    let (base, schema) = vocabulary::base()?;
    if tools.is_empty() {
        let (fragment, schema) = (base.clone(), schema.clone());
        return Ok(Extended { fragment, schema, inputs: Vec::new(), opaque: BTreeMap::new() });
    }
    let mut whole = base.clone().to_json_value().map_err(|error| error.to_string())?;
    let mut inputs = Vec::new();
    let mut opaque = BTreeMap::new();
    for tool in tools {
        let id = tool.id();
        let space = whole.get_mut("Ambit").and_then(Json::as_object_mut).ok_or("the schema lacks `Ambit`")?;
        let taken = |name: &str| space.get("commonTypes").is_some_and(|types| types.get(name).is_some());
        let mut generated = generate::input(tool, taken);
        let mut put = |kind: &str, name: String, value: Json| {
            let kinds = space.entry(kind).or_insert_with(|| json!({}));
            kinds.as_object_mut().map(|kinds| kinds.insert(name, value))
        };
        for (name, choices) in &generated.enums {
            put("entityTypes", name.clone(), json!({ "enum": choices }));
        }
        let named = |name: &str| json!({ "type": "EntityOrCommon", "name": name });
        put("commonTypes", generated.name.clone(), types::record_schema(&generated.fields));
        let context = json!({
            "type": "Record",
            "attributes": { "call": named("Call"), "args": named("Args"), "input": named(&generated.name) },
        });
        let action = json!({
            "memberOf": [{ "id": "callTool" }],
            "appliesTo": { "principalTypes": ["Agent"], "resourceTypes": ["Tool"], "context": context },
        });
        put("actions", id.clone(), action);
        if !generated.opaque.is_empty() {
            opaque.insert(id.clone(), std::mem::take(&mut generated.opaque));
        }
        inputs.push((id, tool.pin(), generated.fields));
    }
    let fragment = SchemaFragment::from_json_value(whole).map_err(|error| error.to_string())?;
    let schema = Schema::from_schema_fragments([fragment.clone()]).map_err(|error| error.to_string())?;
    Ok(Extended { fragment, schema, inputs, opaque })
}

impl Extended {
    /// What deciding needs of it. `shown` are the names that policies look into.
    pub(crate) fn typed(self, shown: &InputNames) -> Result<Typed, String> {
        if self.inputs.is_empty() {
            return Ok(Typed::default());
        }
        let entities = self.schema.action_entities().map_err(|error| error.to_string())?;
        let mut inputs = BTreeMap::new();
        for (tool, definition, fields) in self.inputs {
            let uid =
                format!("Ambit::Action::{}", json!(tool)).parse().map_err(|_| "an action has no name")?;
            let action = entities.get(&uid).ok_or("a typed action is not in the schema")?.as_ref().clone();
            let input = Input { tool: tool.clone(), action, definition, fields, shown: shown.clone() };
            inputs.insert(tool, input);
        }
        Ok(Typed { inputs })
    }
}
