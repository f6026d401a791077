//! A draft on its way: everything that must hold before it may decide or be tried.

use std::rc::Rc;

use ::policies::cases::CaseFile;
use ::policies::{CompiledSet, PolicySource, PublishError, SourceFile, compile};
use bytes::Bytes;
use schemas::inventory::{Inventory, ToolDefinition};
use serde_json::{Value, json};

use super::super::problem::ApiError;
use super::super::{Desk, inventory, read};
use crate::platform::Platform;
use crate::store;

/// What an author sends.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Body {
    pub(super) files: Vec<SourceFile>,
    /// Case files, which must hold; without them, those of the last version must.
    #[serde(default)]
    pub(super) cases: Option<Vec<SourceFile>>,
}

/// A draft that passed every check.
pub(in crate::routes::api) struct Draft {
    pub(super) source: PolicySource,
    pub(super) set: Rc<CompiledSet>,
    pub(super) cases: Vec<SourceFile>,
}

/// Checks a draft: names, syntax, types, warnings, cases. Definitions of tools are those that are approved now.
pub(super) async fn prepare<P: Platform>(desk: &Desk<'_, P>, body: Body) -> Result<Draft, ApiError> {
    let is_built_in = |file: &&SourceFile| ::policies::built_in().iter().any(|known| known.name == file.name);
    if let Some(file) = body.files.iter().find(is_built_in) {
        return Err(ApiError::Malformed(format!(
            "`{}` is a built-in file: give yours another name",
            file.name
        )));
    }
    let cases = match body.cases {
        Some(cases) => cases,
        None => super::newest(desk).await?.map(|version| version.cases).unwrap_or_default(),
    };
    let source = PolicySource::with_built_in(body.files);
    let source = if source.typed_tools().is_empty() {
        source
    } else {
        source.with_tools(store::policies::definitions(desk.platform, &desk.org.id).await?)
    };
    let set = compile(&source).map_err(|error| told("the policies can't be published", &error))?;
    // Cases may tell their requests by names: those that there are now.
    let inventory = if cases.is_empty() { None } else { Some(inventory::load(desk).await?) };
    let failures = failures(&source, &set, inventory.as_ref(), &cases);
    if !failures.is_empty() {
        let message = format!("{} of the cases do not hold", failures.len());
        return Err(ApiError::Refused { message, details: json!(failures) });
    }
    Ok(Draft { source, set: Rc::new(set), cases })
}

/// The live set with newer definitions of tools; nothing if these change nothing.
pub(in crate::routes::api) async fn retyped<P: Platform>(
    desk: &Desk<'_, P>,
    newer: Vec<ToolDefinition>,
) -> Result<Option<Draft>, ApiError> {
    let (live, _) = super::known(desk, &desk.org.policy_set).await?;
    let older = live.tools.iter().filter(|tool| newer.iter().all(|newer| newer.id() != tool.id())).cloned();
    let tools: Vec<ToolDefinition> = older.chain(newer.iter().cloned()).collect();
    let source = live.with_tools(tools);
    if source.hash() == desk.org.policy_set {
        return Ok(None);
    }
    let set = compile(&source).map_err(|error| {
        told("the policies do not fit these definitions: change the policies first", &error)
    })?;
    let cases = super::newest(desk).await?.map(|version| version.cases).unwrap_or_default();
    Ok(Some(Draft { source, set: Rc::new(set), cases }))
}

/// The cases that do not hold, in words.
fn failures(
    source: &PolicySource,
    set: &CompiledSet,
    inventory: Option<&Inventory>,
    cases: &[SourceFile],
) -> Vec<String> {
    let mut failures = Vec::new();
    for file in cases {
        let in_file = |error: String| format!("{}: {error}", file.name);
        match CaseFile::parse(&file.text) {
            Ok(cases) if cases.policies.is_empty() && cases.tools.is_empty() => {
                failures
                    .extend(cases.run_with(set, inventory).iter().map(|error| in_file(error.to_string())));
            }
            // A file may bring policies of its own to be tried together with the set.
            Ok(cases) => {
                let mut source = source.clone();
                source.files.extend(cases.policies.iter().cloned());
                let definitions = source.tools.iter().chain(&cases.tools).cloned().collect::<Vec<_>>();
                match compile(&source.with_tools(definitions)) {
                    Ok(set) => {
                        let failed = cases.run_with(&set, inventory);
                        failures.extend(failed.iter().map(|error| in_file(error.to_string())));
                    }
                    Err(error) => failures.push(in_file(error.to_string())),
                }
            }
            Err(error) => failures.push(in_file(error.to_string())),
        }
    }
    failures
}

/// `POST policies/check`: the same checks, and nothing changes.
pub(in crate::routes::api) async fn check<P: Platform>(
    desk: &Desk<'_, P>,
    body: &Bytes,
) -> Result<Value, ApiError> {
    let draft = prepare(desk, read(body)?).await?;
    Ok(json!({ "hash": draft.source.hash(), "live": desk.org.policy_set, "policies": draft.set.len() }))
}

/// The author's problems, each with its place.
fn told(message: &str, error: &PublishError) -> ApiError {
    let details = match error.problems() {
        [] => vec![error.to_string()],
        problems => problems.iter().map(ToString::to_string).collect(),
    };
    ApiError::Refused { message: message.to_owned(), details: json!(details) }
}
