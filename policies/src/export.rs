//! A request as Cedar's own tools read it: what this engine shows Cedar, written out as JSON.

use schemas::decision::DecisionRequest;
use serde_json::{Value, json};

use crate::publish::CompiledSet;
use crate::slice;

/// A request and its entities in Cedar's JSON formats, as `cedar authorize` reads them with `--request-json` and `--entities`.
#[derive(Debug, Clone, PartialEq)]
pub struct CedarDocuments {
    /// Principal, action, resource and context.
    pub request: Value,
    /// The entity slice.
    pub entities: Value,
}

/// The facts on which the set decides this request: the very slice that the engine shows Cedar.
///
/// # Errors
/// When there is no such slice, and so nothing to ask Cedar: the request is denied, for this reason.
pub fn cedar_documents(set: &CompiledSet, request: &DecisionRequest) -> Result<CedarDocuments, String> {
    let (parts, entities) = slice::build(&set.typed, request).map_err(|error| error.to_string())?;
    let context = parts.context.to_json_value().map_err(|error| error.to_string())?;
    Ok(CedarDocuments {
        request: json!({
            "principal": parts.principal.to_string(),
            "action": parts.action.to_string(),
            "resource": parts.resource.to_string(),
            "context": context,
        }),
        entities: entities.to_json_value().map_err(|error| error.to_string())?,
    })
}
