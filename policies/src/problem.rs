//! What is wrong in a policy file, and where.

use std::fmt;
use std::ops::Range;

use crate::source::SourceFile;

/// One error of an author, with its place.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// How many characters of the line it is about, at least 1.
    pub length: usize,
    /// What is wrong, and how to put it right.
    pub message: String,
    /// The line of the source.
    pub source_line: String,
}

impl Problem {
    /// A problem with these bytes of a file; of a place of many lines, its first line is shown.
    pub fn at(file: &SourceFile, place: Range<usize>, message: impl Into<String>) -> Self {
        let before = file.text.get(..place.start).unwrap_or(&file.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let source_line = file.text.get(line_start..).unwrap_or_default().lines().next().unwrap_or_default();
        let line_end = line_start + source_line.len();
        let shown = file.text.get(place.start..place.end.min(line_end)).unwrap_or_default();
        Self {
            file: file.name.clone(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            length: shown.trim_end().chars().count().max(1),
            message: message.into(),
            source_line: source_line.to_owned(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, source_line, .. } = self;
        let indent = " ".repeat(column.saturating_sub(1));
        let marks = "^".repeat(self.length);
        write!(f, "{file}:{line}:{column}: {message}\n  | {source_line}\n  | {indent}{marks}")
    }
}
