//! The types that arguments can have in a policy, and how JSON becomes their values.
//!
//! | JSON Schema | Cedar | note |
//! |---|---|---|
//! | string | `String` | with `enum`: an enumerated entity type, so that a misspelt choice fails the check |
//! | integer, boolean | `Long`, `Bool` | |
//! | number | `decimal` | four decimal places; a number that has more of them is refused, never rounded |
//! | array, object | `Set`, record | |
//! | formats date-time, duration, ip | `datetime`, `duration`, `ipaddr` | text that is none is refused |
//! | anyOf, several types | record of `typeChoice0`, `typeChoice1`, ... | the first that fits is set |
//! | null, free objects, anything else | – | left out: policies can't look into it |

use std::collections::BTreeMap;

use cedar_policy_core::ast::{EntityUID, Name, PartialValue, Value};
use cedar_policy_core::extensions::Extensions;
use serde_json::{Value as Json, json};

use super::Field;
use crate::vocabulary::{self, uid};

/// A type.
#[derive(Debug, Clone)]
pub(crate) enum Type {
    String,
    Long,
    Bool,
    /// Made from text by one of Cedar's own functions: `decimal`, `datetime`, `duration`, `ip`.
    Extension(&'static str),
    Set(Box<Type>),
    Record(BTreeMap<String, Field>),
    /// The first that fits is the value; each with its place in the union.
    Choice(BTreeMap<String, Type>),
    /// The name of an enumerated type, and its members.
    Enum(String, Vec<String>),
    /// Only in a union: a value that is left out.
    Null,
}

impl Type {
    /// Whether `null` is a value of it, and no missing one.
    pub(crate) fn takes_null(&self) -> bool {
        match self {
            Self::Choice(choices) => choices.values().any(Self::takes_null),
            Self::Null => true,
            Self::String
            | Self::Long
            | Self::Bool
            | Self::Extension(_)
            | Self::Set(_)
            | Self::Record(_)
            | Self::Enum(..) => false,
        }
    }

    /// What it is called in a complaint.
    fn expected(&self) -> String {
        match self {
            Self::String => "text".to_owned(),
            Self::Long => "a whole number of 64 bits".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Extension("decimal") => "a number with at most four decimal places".to_owned(),
            Self::Extension(name) => format!("text that `{name}` reads"),
            Self::Set(of) => format!("an array, each member {}", of.expected()),
            Self::Record(_) => "an object of the approved shape".to_owned(),
            Self::Choice(_) => "of any approved type".to_owned(),
            Self::Enum(_, members) => format!("one of `{}`", members.join("`, `")),
            Self::Null => "null".to_owned(),
        }
    }

    /// The value of JSON, or what was expected instead.
    pub(crate) fn read(&self, json: &Json) -> Result<Value, String> {
        self.try_read(json).ok_or_else(|| self.expected())
    }

    fn try_read(&self, json: &Json) -> Option<Value> {
        match self {
            Self::String => json.as_str().map(Value::from),
            Self::Long => json.as_i64().map(Value::from),
            Self::Bool => json.as_bool().map(Value::from),
            Self::Extension("decimal") => extension("decimal", &decimal(json.as_number()?)?),
            Self::Extension(name) => extension(name, json.as_str()?),
            Self::Set(of) => {
                let members: Option<Vec<Value>> =
                    json.as_array()?.iter().map(|member| of.try_read(member)).collect();
                Some(Value::set(members?, None))
            }
            Self::Record(fields) => record(fields, json),
            Self::Choice(choices) => choices.iter().find_map(|(place, kind)| {
                if matches!(kind, Self::Null) {
                    return kind.try_read(json);
                }
                kind.try_read(json)
                    .map(|value| Value::record([(smol_str::SmolStr::from(place.as_str()), value)], None))
            }),
            Self::Enum(name, members) => {
                let text = json.as_str().filter(|text| members.iter().any(|member| member == text))?;
                member(name, text).map(Value::from)
            }
            Self::Null => json.is_null().then(|| Value::empty_record(None)),
        }
    }

    /// Its form in a JSON schema of Cedar.
    fn schema(&self) -> Json {
        let named = |name: &str| json!({ "type": "EntityOrCommon", "name": name });
        match self {
            Self::String => json!({ "type": "String" }),
            Self::Long => json!({ "type": "Long" }),
            Self::Bool => json!({ "type": "Boolean" }),
            Self::Extension("ip") => json!({ "type": "Extension", "name": "ipaddr" }),
            Self::Extension(name) => json!({ "type": "Extension", "name": name }),
            Self::Set(of) => json!({ "type": "Set", "element": of.schema() }),
            Self::Record(fields) => record_schema(fields),
            Self::Choice(choices) => {
                let attributes: serde_json::Map<String, Json> = choices
                    .iter()
                    .filter(|(_, kind)| !matches!(kind, Self::Null))
                    .map(|(place, kind)| (place.clone(), optional(kind.schema(), false)))
                    .collect();
                json!({ "type": "Record", "attributes": attributes })
            }
            Self::Enum(name, _) => named(name),
            Self::Null => json!({ "type": "Record", "attributes": {} }),
        }
    }
}

/// A record of these fields, as Cedar's JSON schemas have it.
pub(super) fn record_schema(fields: &BTreeMap<String, Field>) -> Json {
    let attributes: serde_json::Map<String, Json> = fields
        .iter()
        .map(|(name, field)| (name.clone(), optional(field.kind.schema(), field.required)))
        .collect();
    json!({ "type": "Record", "attributes": attributes })
}

fn optional(mut schema: Json, required: bool) -> Json {
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("required".to_owned(), required.into());
    }
    schema
}

fn record(fields: &BTreeMap<String, Field>, json: &Json) -> Option<Value> {
    let object = json.as_object()?;
    let mut pairs = Vec::with_capacity(object.len());
    for (name, field) in fields {
        match object.get(name).filter(|value| !value.is_null() || field.kind.takes_null()) {
            Some(value) => pairs.push((smol_str::SmolStr::from(name.as_str()), field.kind.try_read(value)?)),
            None if field.required => return None,
            None => {}
        }
    }
    Some(Value::record(pairs, None))
}

fn member(name: &str, id: &str) -> Option<EntityUID> {
    vocabulary::kind(&format!("Ambit::{name}")).ok().map(|kind| uid(&kind, id))
}

fn extension(name: &str, text: &str) -> Option<Value> {
    let name: Name = name.parse().ok()?;
    match Extensions::all_available().func(&name).ok()?.call(&[Value::from(text)]).ok()? {
        PartialValue::Value(value) => Some(value),
        PartialValue::Residual(_) => None,
    }
}

/// The text that `decimal` reads: with one to four places. Not for numbers that have more, or that a float cannot hold exactly.
fn decimal(number: &serde_json::Number) -> Option<String> {
    let text = match number.as_i64() {
        Some(whole) => whole.to_string(),
        None if number.is_u64() => return None,
        None => format!("{}", number.as_f64()?),
    };
    match text.split_once('.') {
        None => Some(format!("{text}.0")),
        Some((_, places)) if places.len() <= 4 => Some(text),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_or_refused() {
        let read = |text: &str| decimal(&serde_json::from_str(text).unwrap());
        assert_eq!(read("10").as_deref(), Some("10.0"));
        assert_eq!(read("-0.25").as_deref(), Some("-0.25"));
        assert_eq!(read("1e2").as_deref(), Some("100.0"));
        assert_eq!(read("2.00004"), None);
        assert_eq!(read("18446744073709551615"), None);
    }

    #[test]
    fn a_value_is_of_its_type_or_nothing() {
        let fits = |kind: &Type, value: Json| kind.try_read(&value).is_some();
        assert!(fits(&Type::String, json!("x")) && !fits(&Type::String, json!(["x"])));
        assert!(
            fits(&Type::Long, json!(3)) && !fits(&Type::Long, json!(3.0)) && !fits(&Type::Long, json!("3"))
        );
        assert!(fits(&Type::Extension("datetime"), json!("2026-11-23T00:00:00Z")));
        assert!(!fits(&Type::Extension("datetime"), json!("today")));
        let level = Type::Enum("x_level".to_owned(), vec!["low".to_owned()]);
        assert!(fits(&level, json!("low")) && !fits(&level, json!("Low")));
        let choice = Type::Choice(BTreeMap::from([
            ("typeChoice0".to_owned(), Type::String),
            ("typeChoice1".to_owned(), Type::Null),
        ]));
        assert!(fits(&choice, json!("x")) && fits(&choice, json!(null)) && !fits(&choice, json!(1)));
    }
}
