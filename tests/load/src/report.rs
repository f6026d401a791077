//! Tables: for people as text, for programs as JSON.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// One cell.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    /// A word.
    Text(String),
    /// A figure, shown with this many decimals.
    Number(f64, usize),
    /// There is nothing to say.
    Nothing,
}

impl Cell {
    fn to_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number, decimals) => format!("{number:.decimals$}"),
            Self::Nothing => "-".to_owned(),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Number(number, _) => (*number).into(),
            Self::Nothing => Value::Null,
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<usize> for Cell {
    fn from(number: usize) -> Self {
        Self::Number(number as f64, 0)
    }
}

/// What one part of a run found.
#[derive(Debug)]
pub(crate) struct Table {
    /// Its key in JSON.
    pub(crate) name: &'static str,
    title: String,
    columns: &'static [&'static str],
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty one.
    pub(crate) fn new(
        name: &'static str,
        title: impl Into<String>,
        columns: &'static [&'static str],
    ) -> Self {
        Self { name, title: title.into(), columns, rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        assert_eq!(cells.len(), self.columns.len(), "a row has a cell per column");
        self.rows.push(cells);
    }

    /// For people.
    pub(crate) fn to_text(&self) -> String {
        let rows: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(Cell::to_text).collect()).collect();
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(String::len);
            cells.chain([self.columns.get(column).map_or(0, |name| name.chars().count())]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = format!("\n{}\n\n", self.title);
        let mut line = |cells: &[&str]| {
            for (index, (cell, &width)) in cells.iter().zip(&widths).enumerate() {
                // Words to the left, figures to the right.
                let is_word = rows
                    .first()
                    .and_then(|_| self.rows.first()?.get(index))
                    .is_some_and(|cell| matches!(cell, Cell::Text(_)));
                let _ =
                    if is_word { write!(text, "{cell:<width$}  ") } else { write!(text, "{cell:>width$}  ") };
            }
            text.push('\n');
        };
        line(self.columns);
        for row in &rows {
            line(&row.iter().map(String::as_str).collect::<Vec<_>>());
        }
        text
    }

    /// For programs: a list of objects.
    pub(crate) fn to_json(&self) -> Value {
        let object = |row: &Vec<Cell>| {
            let members =
                self.columns.iter().zip(row).map(|(name, cell)| ((*name).to_owned(), cell.to_json()));
            Value::Object(members.collect::<Map<_, _>>())
        };
        self.rows.iter().map(object).collect()
    }
}
