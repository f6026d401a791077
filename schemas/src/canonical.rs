//! RFC 8785 text of what we write ourselves, at a fraction of a general canonicalizer's price: every event of the trail has one.
//!
//! `serde_json` writes strings and whole numbers as the RFC wants them, so that what is left is the order of keys: members are
//! moved into place as their object ends. Other numbers than whole ones of up to 15 digits go the general way.

use std::cmp::Ordering;

/// The RFC 8785 text of a value.
///
/// # Errors
/// The value has no JSON form.
pub fn to_string(value: &impl serde::Serialize) -> Result<String, serde_json::Error> {
    let text = serde_json::to_string(value)?;
    let mut sorter = Sorter {
        rest: &text,
        out: String::with_capacity(text.len()),
        members: Vec::with_capacity(32),
        before: String::new(),
    };
    match sorter.value() {
        Some(()) => Ok(sorter.out),
        None => serde_json_canonicalizer::to_string(value),
    }
}

/// Where a member of an object stands in the output.
#[derive(Clone, Copy)]
struct Member {
    start: usize,
    key_end: usize,
    end: usize,
}

/// Copies text without white space, sorting members. `None` anywhere: this is for the general way.
struct Sorter<'a> {
    rest: &'a str,
    out: String,
    /// Members of the objects that have not ended yet.
    members: Vec<Member>,
    /// An object as it was before its members were moved.
    before: String,
}

impl Sorter<'_> {
    fn value(&mut self) -> Option<()> {
        match self.rest.as_bytes().first()? {
            b'{' => self.object(),
            b'[' => self.array(),
            b'"' => self.string(),
            _ => self.word(),
        }
    }

    fn take(&mut self, length: usize) -> Option<()> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.out.push_str(taken);
        self.rest = rest;
        Some(())
    }

    fn string(&mut self) -> Option<()> {
        let mut escaped = false;
        let inner = self.rest.bytes().skip(1).position(|c| {
            let ends = c == b'"' && !escaped;
            escaped = c == b'\\' && !escaped;
            ends
        })?;
        self.take(inner + 2)
    }

    /// `true`, `false`, `null`, or a whole number that a double holds exactly and writes as it is.
    fn word(&mut self) -> Option<()> {
        let length =
            self.rest.bytes().position(|c| matches!(c, b',' | b']' | b'}')).unwrap_or(self.rest.len());
        let word = self.rest.get(..length)?;
        let digits = word.strip_prefix('-').unwrap_or(word);
        let whole = digits.len() <= 15 && digits.bytes().all(|c| c.is_ascii_digit());
        if whole || matches!(word, "true" | "false" | "null") { self.take(length) } else { None }
    }

    fn array(&mut self) -> Option<()> {
        self.take(1)?;
        while !self.rest.starts_with(']') {
            self.value()?;
            if self.rest.starts_with(',') {
                self.take(1)?;
            }
        }
        self.take(1)
    }

    fn object(&mut self) -> Option<()> {
        let (start, first) = (self.out.len(), self.members.len());
        self.take(1)?;
        while !self.rest.starts_with('}') {
            let member = self.out.len();
            self.string()?;
            let key_end = self.out.len();
            self.take(1)?;
            self.value()?;
            self.members.push(Member { start: member, key_end, end: self.out.len() });
            if self.rest.starts_with(',') {
                self.take(1)?;
            }
        }
        self.take(1)?;
        self.sort(start, first)
    }

    /// Puts the members of the object that has just ended into their order.
    fn sort(&mut self, start: usize, first: usize) -> Option<()> {
        let members = self.members.get_mut(first..)?;
        let key = |member: &Member| self.out.get(member.start + 1..member.key_end - 1).unwrap_or_default();
        if !members.is_sorted_by(|a, b| order(key(a), key(b)).is_lt()) {
            members.sort_unstable_by(|a, b| order(key(a), key(b)));
            self.before.clear();
            self.before.push_str(self.out.get(start..)?);
            self.out.truncate(start + 1);
            for (index, member) in members.iter().enumerate() {
                if index > 0 {
                    self.out.push(',');
                }
                self.out.push_str(self.before.get(member.start - start..member.end - start)?);
            }
            self.out.push('}');
        }
        self.members.truncate(first);
        Some(())
    }
}

/// The order of two keys as they are written, which is that of their UTF-16 code units (RFC 8785 §3.2.3).
fn order(a: &str, b: &str) -> Ordering {
    let plain = |key: &str| key.bytes().all(|c| c.is_ascii() && c != b'\\');
    if plain(a) && plain(b) {
        return a.cmp(b);
    }
    let read = |key: &str| serde_json::from_str::<String>(&format!("\"{key}\"")).unwrap_or_default();
    read(a).encode_utf16().cmp(read(b).encode_utf16())
}

#[cfg(test)]
mod tests {
    use super::to_string;
    use serde_json::json;

    #[test]
    fn it_is_what_the_general_way_writes() {
        #[derive(serde::Serialize)]
        struct Unsorted<T> {
            z: T,
            a: T,
            #[serde(rename = "a b")]
            ab: Option<T>,
        }
        let inner = json!({
            "\u{e000}": 1, "\u{10000}": 2, "\n": [3, {"y": [], "x": {}}], "\\": "\"\\\u{1}\u{7f}\u{20ac}/", "€": -4,
            "": null, "aa": true, "a\"": {"b": 1, "a": {"d": [[{}]], "c": false}}, "\u{1}": 999_999_999_999_999_i64,
        });
        for value in
            [inner, json!(0), json!([]), json!({}), json!("x"), json!(1.5), json!(1e30), json!(u64::MAX)]
        {
            let value = Unsorted { z: value.clone(), a: value.clone(), ab: Some(value) };
            assert_eq!(to_string(&value).unwrap(), serde_json_canonicalizer::to_string(&value).unwrap());
        }
    }
}
