//! D1: a batch is one call and one transaction.
//!
//! D1 answers rows as objects, so of two columns with the same name only one arrives. A query is therefore asked through
//! another, in which SQLite makes names unlike (`id`, `id:1`); what `RETURNING` names alike we can't help.

use std::borrow::Cow;

use gateway::platform::{Batch, PlatformError, Row, Rows, Statement, Value};
use js_sys::{Array, Object};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use worker::Env;
use worker::worker_sys::types::{D1Database, D1PreparedStatement, D1Result};

use crate::fetching::words;

/// The binding of the database, as in `wrangler.toml`.
const BINDING: &str = "DB";

/// The largest whole number that JavaScript holds exactly.
const LARGEST: i64 = (1 << 53) - 1;

/// Runs a batch.
pub(crate) async fn run(env: &Env, batch: Batch) -> Result<Vec<Rows>, PlatformError> {
    let database =
        JsValue::from(env.d1(BINDING).map_err(|error| PlatformError::Database(error.to_string()))?);
    let database: D1Database = database.unchecked_into();
    let statements: Array =
        batch.statements.iter().map(|statement| prepare(&database, statement)).collect::<Result<_, _>>()?;
    let promise = database.batch(statements).map_err(|error| failed(&error))?;
    let results: Array = JsFuture::from(promise).await.map_err(|error| failed(&error))?.unchecked_into();
    results.iter().map(|result| rows(&result.unchecked_into())).collect()
}

fn prepare(database: &D1Database, statement: &Statement) -> Result<D1PreparedStatement, PlatformError> {
    let parameters: Array = statement.parameters.iter().map(outward).collect::<Result<_, _>>()?;
    let prepared =
        database.prepare(&with_distinct_columns(&statement.sql)).map_err(|error| failed(&error))?;
    prepared.bind(parameters).map_err(|error| failed(&error))
}

fn with_distinct_columns(sql: &str) -> Cow<'_, str> {
    let query = sql.trim().trim_end_matches(';');
    match query.get(..6) {
        Some(word) if word.eq_ignore_ascii_case("select") => Cow::Owned(format!("SELECT * FROM ({query}\n)")),
        _ => Cow::Borrowed(sql),
    }
}

fn rows(result: &D1Result) -> Result<Rows, PlatformError> {
    let rows = result.results().map_err(|error| failed(&error))?.unwrap_or_default();
    rows.iter().map(|row| columns(&row).map(Row)).collect()
}

fn columns(row: &JsValue) -> Result<Vec<Value>, PlatformError> {
    Object::values(row.unchecked_ref()).iter().map(|value| inward(&value)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "checked against what a double holds exactly")]
fn outward(value: &Value) -> Result<JsValue, PlatformError> {
    match value {
        Value::Null => Ok(JsValue::NULL),
        Value::Integer(number) if number.unsigned_abs() <= LARGEST.unsigned_abs() => {
            Ok((*number as f64).into())
        }
        Value::Integer(number) => Err(PlatformError::Database(format!("{number} is too large for D1"))),
        Value::Text(text) => Ok(JsValue::from_str(text)),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "checked: a whole number within what a double holds exactly"
)]
#[expect(clippy::cast_precision_loss, reason = "the bound is exact")]
fn inward(value: &JsValue) -> Result<Value, PlatformError> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    match value.as_f64() {
        Some(number) if number.fract() == 0.0 && number.abs() <= LARGEST as f64 => {
            Ok(Value::Integer(number as i64))
        }
        Some(number) => Err(PlatformError::Database(format!("{number} is no whole number"))),
        None => value.as_string().map(Value::Text).ok_or_else(|| {
            PlatformError::Database(format!("a column holds {value:?}, which is neither a number nor text"))
        }),
    }
}

fn failed(error: &JsValue) -> PlatformError {
    PlatformError::Database(words(error))
}
