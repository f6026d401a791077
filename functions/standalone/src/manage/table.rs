//! JSON, as people read it: lists as tables, one thing as a name and a value on each line.

use std::fmt::Write as _;

use serde_json::Value;

use crate::telling::time;

/// What a cell says of nothing.
const NOTHING: &str = "-";

/// A column: its title, and where its value is (JSON pointers; the first that leads to something).
pub(super) type Column = (&'static str, &'static [&'static str]);

/// A table of things.
pub(super) fn table(columns: &[Column], things: &[Value]) -> String {
    let mut rows: Vec<Vec<String>> = vec![columns.iter().map(|(title, _)| (*title).to_owned()).collect()];
    rows.extend(things.iter().map(|thing| columns.iter().map(|(_, places)| cell(thing, places)).collect()));
    aligned(&rows)
}

/// One thing: what it is called first, the rest in order.
pub(super) fn sheet(thing: &Value) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut members: Vec<_> = thing.as_object().into_iter().flatten().collect();
    let place = |name: &str| ["name", "id"].iter().position(|first| *first == name).unwrap_or(2);
    members.sort_by(|(one, _), (other, _)| (place(one), one).cmp(&(place(other), other)));
    for (name, value) in members {
        spread(name, value, &mut rows);
    }
    aligned(&rows)
}

/// A record within a thing has a line for each of its members.
fn spread(name: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    match value.as_object().filter(|members| !members.is_empty()) {
        Some(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(inner, _)| *inner);
            for (inner, value) in members {
                spread(&format!("{name}.{inner}"), value, rows);
            }
        }
        None => rows.push(vec![name.to_owned(), shown(name, value)]),
    }
}

/// Columns beside each other, two spaces apart, with nothing at the end of a line.
pub(super) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text.pop();
    text
}

fn cell(thing: &Value, places: &[&str]) -> String {
    let found = places.iter().find_map(|place| {
        let value = thing.pointer(place).filter(|value| !value.is_null())?;
        Some(shown(place.rsplit('/').next().unwrap_or_default(), value))
    });
    found.unwrap_or_else(|| NOTHING.to_owned())
}

/// A value in one line. Members whose names end in `At` are times.
fn shown(name: &str, value: &Value) -> String {
    match value {
        Value::Null => NOTHING.to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => match number.as_i64().filter(|_| name.ends_with("At")) {
            Some(at) => time(at),
            None => number.to_string(),
        },
        Value::String(text) if text.is_empty() => NOTHING.to_owned(),
        Value::String(text) => harmless(text),
        Value::Array(items) if items.is_empty() => NOTHING.to_owned(),
        Value::Array(items) => items.iter().map(|item| shown(name, item)).collect::<Vec<_>>().join(", "),
        Value::Object(members) => match members.get("name").and_then(Value::as_str) {
            Some(name) => harmless(name),
            None if members.values().all(Value::is_boolean) => flags(members),
            None => harmless(&value.to_string()),
        },
    }
}

/// What is so of a record of yes and no: `readOnly, idempotent`.
fn flags(members: &serde_json::Map<String, Value>) -> String {
    let mut set: Vec<&str> = members
        .iter()
        .filter(|(_, value)| **value == Value::Bool(true))
        .map(|(name, _)| name.as_str())
        .collect();
    set.sort_unstable();
    if set.is_empty() { NOTHING.to_owned() } else { set.join(", ") }
}

/// Text that others chose must not steer a terminal.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tables() {
        let columns: &[Column] =
            &[("NAME", &["/name"]), ("SOURCE", &["/url", "/workload/image"]), ("FLAGS", &["/flags"])];
        let things = [
            json!({ "name": "a", "url": "https://a.test", "flags": { "readOnly": true, "destructive": false } }),
            json!({ "name": "longer\u{1b}[2J", "url": null, "workload": { "image": "x/y" }, "flags": { "readOnly": false } }),
        ];
        let expected = "NAME        SOURCE          FLAGS\n\
                        a           https://a.test  readOnly\n\
                        longer\u{fffd}[2J  x/y             -";
        assert_eq!(table(columns, &things), expected);
    }

    #[test]
    fn sheets() {
        let thing = json!({ "name": "a", "id": "1", "createdAt": 1_767_268_800_000_i64, "teams": ["x", "y"], "limits": { "pids": 4 } });
        let expected = "name         a\nid           1\ncreatedAt    2026-01-01 12:00\nlimits.pids  4\nteams        x, y";
        assert_eq!(sheet(&thing), expected);
    }
}
