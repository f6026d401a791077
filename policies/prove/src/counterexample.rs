//! What the solver found, made worth reading: named, stripped to what matters, and confirmed by Cedar itself.
//!
//! A solver invents every fact it is not told, ids like `""` among them. So each fact is set to what nobody would wonder at, and
//! each entity gets a plain name, as long as Cedar still finds that the request refutes what was to be proved. What is left peculiar
//! is what matters.

use cedar_policy::{Authorizer, Entities, EntityUid, Request, Schema};
use cedar_policy_symcc::Env;
use serde_json::{Value, json};

use crate::document::Counterexample;
use crate::model::{Model, at};
use crate::subject::Subject;
use crate::telling;

/// Whether Cedar, given this request, finds that it refutes what was to be proved.
pub(crate) type Refutes<'a> = &'a dyn Fn(&Request, &Entities) -> bool;

/// Members of enumerated types that nobody would wonder at.
const USUAL: [(&str, &str); 3] =
    [("Ambit::Status", "active"), ("Ambit::DefinitionState", "approved"), ("Ambit::Trust", "verified")];

/// Makes a counterexample of what the solver found, or says why it is none.
pub(crate) fn of(subject: &Subject, found: &Env, refutes: Refutes<'_>) -> Result<Counterexample, String> {
    let mut model = Model::of(found)?;
    if !holds(&model, &subject.schema, refutes) {
        return Err("the solver's counterexample is none when Cedar decides it".to_owned());
    }
    let mut today = model.clone();
    set_times(&mut today.context);
    if holds(&today, &subject.schema, refutes) {
        model = today;
    }
    // Until nothing changes: an approval, say, goes only after what it was needed for.
    let mut before = None;
    while before.as_ref() != Some(&model) {
        before = Some(model.clone());
        strip(&mut model, &subject.schema, refutes);
    }
    model.drop_unreferenced();
    let mut kept = subject.named();
    let named = model.with_names(&kept, &subject.enumerated);
    if holds(&named, &subject.schema, refutes) {
        model = named;
    }
    // Who is named by a policy keeps that name only where it matters.
    for known in subject.named() {
        kept.remove(&known);
        let renamed = model.with_names(&kept, &subject.enumerated);
        if renamed != model && holds(&renamed, &subject.schema, refutes) {
            model = renamed;
        } else {
            kept.insert(known);
        }
    }
    let (request, entities) = model.read(&subject.schema)?;
    let response = Authorizer::new().is_authorized(&request, &subject.policies.policies, &entities);
    let mut policies: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
    policies.sort();
    let mut erring: Vec<String> = response.diagnostics().errors().map(ToString::to_string).collect();
    erring.sort();
    Ok(Counterexample {
        text: telling::tell(&model, &policies, &erring),
        policies,
        request: json!({
            "principal": name(&model.principal)?,
            "action": name(&model.action)?,
            "resource": name(&model.resource)?,
            "context": model.context,
        }),
        entities: Value::Array(model.entities),
    })
}

/// `Ambit::Agent::"bot"`, escaped as Cedar wants it.
fn name(reference: &Value) -> Result<String, String> {
    Ok(EntityUid::from_json(reference.clone()).map_err(|error| error.to_string())?.to_string())
}

/// Makes every time the same day: solvers like the end of time.
fn set_times(value: &mut Value) {
    let is_time = match at(value, "/__extn/fn").as_str() {
        Some("datetime") => true,
        Some("offset") => at(value, "/__extn/args/0/__extn/fn") == "datetime",
        Some(_) | None => false,
    };
    if is_time {
        *value = json!({ "__extn": { "fn": "datetime", "arg": "2026-01-01T00:00:00Z" } });
    } else if let Value::Object(fields) = value {
        fields.values_mut().for_each(set_times);
    }
}

fn holds(model: &Model, schema: &Schema, refutes: Refutes<'_>) -> bool {
    model.read(schema).is_ok_and(|(request, entities)| refutes(&request, &entities))
}

/// Sets every fact to the usual, as long as the model still refutes.
fn strip(model: &mut Model, schema: &Schema, refutes: Refutes<'_>) {
    let org = |model: &Model, of: &Value| model.entity(of).map(|entity| at(entity, "/attrs/org").clone());
    let in_context = facts(&model.context, "").into_iter().map(|pointer| (None, pointer));
    let mut places: Vec<(Option<usize>, String)> = in_context.collect();
    for (index, entity) in model.entities.iter().enumerate() {
        places
            .extend(facts(at(entity, "/attrs"), "/attrs").into_iter().map(|pointer| (Some(index), pointer)));
        places.extend(facts(at(entity, "/tags"), "/tags").into_iter().map(|pointer| (Some(index), pointer)));
    }
    for (entity, pointer) in places {
        let holder = match entity {
            Some(index) => model.entities.get(index),
            None => Some(&model.context),
        };
        // It may be gone with the record that held it.
        let Some(now) = holder.and_then(|holder| holder.pointer(&pointer)).cloned() else { continue };
        // One organisation for all, unless it matters; then what belongs to the resource is of the resource's.
        let home = org(model, &model.principal);
        let there = org(model, &model.resource);
        let of_resource = entity.is_some_and(|index| {
            model.entities.get(index).is_some_and(|entity| *at(entity, "/uid") != model.principal)
        });
        let homes = if of_resource { [there, home] } else { [home, there] };
        for value in usual(&now, homes.into_iter().flatten()) {
            let mut changed = model.clone();
            let holder = match entity {
                Some(index) => changed.entities.get_mut(index),
                None => Some(&mut changed.context),
            };
            set(holder, &pointer, value);
            if changed == *model {
                break;
            }
            if holds(&changed, schema, refutes) {
                *model = changed;
                break;
            }
        }
    }
}

/// JSON pointers to every fact in a record, those in a nested record after the record itself.
fn facts(record: &Value, at: &str) -> Vec<String> {
    let fields = record.as_object().into_iter().flatten();
    let found = fields.filter(|(name, _)| !["__entity", "__extn"].contains(&name.as_str())).flat_map(
        |(name, value)| {
            let pointer = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
            let below = facts(value, &pointer);
            std::iter::once(pointer).chain(below)
        },
    );
    found.collect()
}

/// What to try for a fact: first to do without it, then its usual values.
fn usual(value: &Value, homes: impl Iterator<Item = Value>) -> Vec<Option<Value>> {
    let mut tries = vec![None];
    match value {
        Value::Bool(true) => tries.push(Some(false.into())),
        Value::Array(items) if !items.is_empty() => tries.push(Some(json!([]))),
        Value::String(text) if !text.is_empty() => tries.push(Some("".into())),
        Value::Object(_) => {
            let kind = at(value, "/__entity/type");
            tries.extend(homes.filter(|home| at(home, "/__entity/type") == kind).map(Some));
            let usual = USUAL.iter().filter(|(known, _)| kind == known);
            tries.extend(usual.map(|(kind, id)| Some(json!({ "__entity": { "type": kind, "id": id } }))));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::String(_) => {}
    }
    tries
}

/// Sets or removes what a JSON pointer leads to.
fn set(holder: Option<&mut Value>, pointer: &str, value: Option<Value>) {
    let Some((parent, field)) = pointer.rsplit_once('/') else { return };
    let parent = holder.and_then(|holder| holder.pointer_mut(parent)).and_then(Value::as_object_mut);
    let Some(fields) = parent else { return };
    let field = field.replace("~1", "/").replace("~0", "~");
    match value {
        None => {
            fields.remove(&field);
        }
        Some(value) => {
            fields.insert(field, value);
        }
    }
}
