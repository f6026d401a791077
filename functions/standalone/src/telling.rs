//! What is told on standard output: to people, and to programs.

use std::io::{self, Write as _};

use serde::Serialize;

use crate::operate::Failure;

/// A JSON document on standard output.
pub(crate) fn json(document: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document)?;
    say(&text)
}

/// A line, or several, on standard output. A reader that has gone away wants no more of them.
pub(crate) fn say(text: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// A time, in UTC, to the minute.
pub(crate) fn time(milliseconds: i64) -> String {
    let text = policies::instant_text(schemas::ids::Timestamp(milliseconds)).unwrap_or_default();
    text.get(..16).unwrap_or(&text).replace('T', " ")
}

/// `1 agent`, `2 agents`.
pub(crate) fn count(number: usize, one: &str) -> String {
    match (number, one) {
        (1, _) => format!("1 {one}"),
        (_, "person") => format!("{number} people"),
        (_, "file of policies") => format!("{number} files of policies"),
        _ => format!("{number} {one}s"),
    }
}
