//! JSON whose bytes survive: objects are read one level deep, and what is not looked at is written as it came.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// An object, one level deep, in the order it was written. A key that comes twice is an error: two readers could disagree.
#[derive(Debug, Clone, Default)]
pub(crate) struct Object<'a> {
    entries: Vec<(Cow<'a, str>, Cow<'a, RawValue>)>,
}

impl<'a> Object<'a> {
    /// Reads an object.
    ///
    /// # Errors
    /// The text is no JSON object, or a key comes twice.
    pub(crate) fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The bytes of a value.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.raw(key).map(RawValue::get)
    }

    /// The value as it came.
    pub(crate) fn raw(&self, key: &str) -> Option<&RawValue> {
        self.entries.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_ref())
    }

    /// The bytes of a value that is still where it was read from.
    pub(crate) fn source(&self, key: &str) -> Option<&'a str> {
        self.entries.iter().find(|(name, _)| name == key).and_then(|(_, value)| match value {
            Cow::Borrowed(value) => Some(value.get()),
            Cow::Owned(_) => None,
        })
    }

    /// The value, if it is a string.
    pub(crate) fn text(&self, key: &str) -> Option<Cow<'_, str>> {
        self.get(key).and_then(as_text)
    }

    /// The value, if it is an object.
    pub(crate) fn object(&self, key: &str) -> Option<Object<'_>> {
        self.get(key).and_then(|value| Object::parse(value).ok())
    }

    /// Whether the key is there.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.raw(key).is_some()
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Puts a value in the place of the old one, or at the end.
    pub(crate) fn set(&mut self, key: impl Into<Cow<'a, str>>, value: Box<RawValue>) {
        let key = key.into();
        match self.entries.iter_mut().find(|(name, _)| *name == key) {
            Some(entry) => entry.1 = Cow::Owned(value),
            None => self.entries.push((key, Cow::Owned(value))),
        }
    }

    /// Puts anything that has a JSON form in.
    pub(crate) fn put(&mut self, key: &'static str, value: &impl serde::Serialize) {
        if let Ok(value) = serde_json::value::to_raw_value(value) {
            self.set(key, value);
        }
    }

    /// Takes a value out.
    pub(crate) fn remove(&mut self, key: &str) -> bool {
        let before = self.entries.len();
        self.entries.retain(|(name, _)| name != key);
        before != self.entries.len()
    }

    /// Keeps the entries whose key passes.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.entries.retain(|(name, _)| keep(name));
    }

    /// Writes the object.
    pub(crate) fn write(&self, out: &mut String) {
        out.push('{');
        for (index, (key, value)) in self.entries.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            push_text(out, key);
            out.push(':');
            out.push_str(value.get());
        }
        out.push('}');
    }

    /// The object as a value of another one.
    pub(crate) fn to_raw(&self) -> Box<RawValue> {
        let mut text = String::new();
        self.write(&mut text);
        raw(text)
    }
}

/// A value we wrote ourselves. Ill-formed text becomes `null`, which no code here produces.
pub(crate) fn raw(text: String) -> Box<RawValue> {
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// Writes a JSON string.
pub(crate) fn push_text(out: &mut String, text: &str) {
    if text.bytes().all(|c| c >= 0x20 && c != b'"' && c != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

/// The text of a JSON string; borrowed where nothing is escaped.
pub(crate) fn as_text(value: &str) -> Option<Cow<'_, str>> {
    let value = value.trim();
    let inner = value.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(value).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries: Vec<(Cow<'de, str>, Cow<'de, RawValue>)> = Vec::with_capacity(8);
                while let Some(Key(key)) = map.next_key()? {
                    if entries.iter().any(|(name, _)| *name == key) {
                        return Err(A::Error::custom(format_args!("key `{key}` comes twice")));
                    }
                    entries.push((key, Cow::Borrowed(map.next_value::<&'de RawValue>()?)));
                }
                Ok(Object { entries })
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// A key, borrowed where nothing is escaped.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Checks a whole document: well-formed, at most 128 deep, and no object with a key that comes twice, at any depth.
///
/// # Errors
/// Says where and why.
pub(crate) fn check(text: &[u8]) -> Result<&str, serde_json::Error> {
    serde_json::from_slice::<Checked>(text)?;
    std::str::from_utf8(text).map_err(serde_json::Error::custom)
}

struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Walk;
        impl<'de> Visitor<'de> for Walk {
            type Value = Checked;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }
            fn visit_bool<E>(self, _: bool) -> Result<Checked, E> {
                Ok(Checked)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Checked, E> {
                Ok(Checked)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Checked, E> {
                Ok(Checked)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Checked, E> {
                Ok(Checked)
            }
            fn visit_str<E>(self, _: &str) -> Result<Checked, E> {
                Ok(Checked)
            }
            fn visit_unit<E>(self) -> Result<Checked, E> {
                Ok(Checked)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Checked, A::Error> {
                while seq.next_element::<Checked>()?.is_some() {}
                Ok(Checked)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Checked, A::Error> {
                // Small objects are searched; large ones get a set, so that a hostile body can't make this quadratic.
                let mut few: Vec<Cow<'de, str>> = Vec::new();
                let mut many = std::collections::HashSet::new();
                while let Some(Key(key)) = map.next_key()? {
                    if few.contains(&key) || many.contains(&key) {
                        return Err(A::Error::custom(format_args!("key `{key}` comes twice")));
                    }
                    if few.len() < 16 {
                        few.push(key);
                    } else {
                        many.insert(key);
                    }
                    map.next_value::<Checked>()?;
                }
                Ok(Checked)
            }
        }
        deserializer.deserialize_any(Walk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_touched_survives() {
        let text = r#"{"a": 1.0 ,"b":{"z":1,"a":[ ]},"\u0063":"x\ny"}"#;
        let mut object = Object::parse(text).unwrap();
        assert_eq!(object.text("c").unwrap(), "x\ny");
        object.put("a", &"new");
        let mut out = String::new();
        object.write(&mut out);
        assert_eq!(out, r#"{"a":"new","b":{"z":1,"a":[ ]},"c":"x\ny"}"#);
    }

    #[test]
    fn keys_that_come_twice_are_refused_at_any_depth() {
        assert!(check(br#"{"a":[{"b":1,"\u0062":2}]}"#).unwrap_err().to_string().contains("comes twice"));
        assert!(check(br#"{"a":[{"b":1},{"b":2}],"c":-1.5e3}"#).is_ok());
        let many: Vec<String> = (0..100).map(|n| format!("\"k{n}\":0")).collect();
        assert!(check(format!("{{{},\"k99\":1}}", many.join(",")).as_bytes()).is_err());
        assert!(check("[".repeat(200).as_bytes()).is_err());
        assert!(check(b"\xff").is_err());
    }
}
