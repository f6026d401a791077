//! Which arguments of a call the policies look into, and how they reach the policies: as text, by flattened name.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The argument names that any policy of a set looks into. Only these enter the request and the record; of the others the
/// audit event keeps a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArgumentNames {
    /// No policy looks into arguments.
    None,
    /// Some do, by these names.
    Some(BTreeSet<String>),
    /// A policy computes the name it looks for: every argument may matter.
    All,
}

/// Two arguments flatten to one name, as `{"a.b": 1, "a": {"b": 2}}` does: a policy could be shown the one while the server
/// reads the other.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the arguments hold `{0}` twice, once nested and once with dots in its name; send it once")]
pub struct AmbiguousArgument(pub String);

impl ArgumentNames {
    /// Adds what another policy looks into.
    pub(crate) fn add(&mut self, other: Self) {
        *self = match (std::mem::replace(self, Self::None), other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::Some(mut names), Self::Some(more)) => {
                names.extend(more);
                Self::Some(names)
            }
            (some @ Self::Some(_), Self::None) | (Self::None, some) => some,
        };
    }

    /// Whether the policies may look into this argument.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::Some(names) => names.contains(name),
            Self::All => true,
        }
    }

    /// Whether the others hold all of these.
    pub(crate) fn is_within(&self, others: &Self) -> bool {
        match self {
            Self::None => true,
            Self::Some(names) => names.iter().all(|name| others.contains(name)),
            Self::All => *others == Self::All,
        }
    }

    /// Picks the arguments that the policies look into.
    ///
    /// Objects and arrays flatten by dots (`filter.repo`, `paths.0`) and are also there whole, as compact JSON, so that a
    /// policy on `path` is not evaded by sending `["path"]`. Scalars are text; a number has its shortest form, so `1`, `1.0`
    /// and `1e0` are one.
    ///
    /// # Errors
    /// When two arguments have one flattened name.
    pub fn select(&self, arguments: &Value) -> Result<BTreeMap<String, String>, AmbiguousArgument> {
        let mut selected = BTreeMap::new();
        if let (Self::Some(_) | Self::All, Value::Object(fields)) = (self, arguments) {
            for (name, value) in fields {
                self.visit(name, value, &mut selected)?;
            }
        }
        Ok(selected)
    }

    /// Whether some name starts with this one and a dot, so that it is worth going in.
    fn reaches_into(&self, name: &str) -> bool {
        match self {
            Self::None => false,
            Self::Some(names) => {
                names.iter().any(|longer| longer.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
            }
            Self::All => true,
        }
    }

    fn visit(
        &self,
        name: &str,
        value: &Value,
        selected: &mut BTreeMap<String, String>,
    ) -> Result<(), AmbiguousArgument> {
        if self.contains(name) && selected.insert(name.to_owned(), text(value)).is_some() {
            return Err(AmbiguousArgument(name.to_owned()));
        }
        if !self.reaches_into(name) {
            return Ok(());
        }
        match value {
            Value::Object(fields) => {
                for (field, value) in fields {
                    self.visit(&format!("{name}.{field}"), value, selected)?;
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    self.visit(&format!("{name}.{index}"), value, selected)?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        Ok(())
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            // Rust writes a float in the fewest digits that give it back, and never with an exponent.
            Some(float) if number.is_f64() => format!("{float}"),
            Some(_) | None => number.to_string(),
        },
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
