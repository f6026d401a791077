//! A policy made by a click: allow exactly what was denied.

use ::policies::{SourceFile, explain};
use bytes::Bytes;
use schemas::decision::Principal;
use schemas::ids::EventId;
use serde_json::Value;

use super::super::problem::ApiError;
use super::super::{Desk, read};
use super::draft;
use super::publish::go;
use crate::platform::Platform;
use crate::store;

/// The file of an organisation that holds policies made this way.
const FILE: &str = "allowed.cedar";

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Allow {
    /// The refusal, as the agent was told its reference.
    event: EventId,
    #[serde(default)]
    note: String,
}

/// `POST policies/allow`: adds the smallest permit that would have allowed this request, and publishes it as any other version. The
/// permit is built as a value and then printed, so no name in it can be read as code.
pub(in crate::routes::api) async fn allow<P: Platform>(
    desk: &Desk<'_, P>,
    body: &Bytes,
) -> Result<Value, ApiError> {
    let Allow { event, note } = read(body)?;
    let found = store::audit::event(desk.platform, &desk.org.id, &event).await?;
    let record = found
        .and_then(|event| event.decision)
        .filter(|record| matches!(record.request.principal, Principal::Agent(_)))
        .ok_or_else(|| ApiError::NotFound(format!("decision `{event}` about a call of an agent")))?;
    let explanation = explain(&desk.policies, &record.request, None);
    let permit = explanation
        .smallest_permit
        .ok_or_else(|| ApiError::Conflict(format!("no permit would change this: {}", explanation.summary)))?;
    let (source, built_in) = super::known(desk, &desk.org.policy_set).await?;
    let mut files: Vec<SourceFile> = source.files.into_iter().skip(built_in).collect();
    match files.iter_mut().find(|file| file.name == FILE) {
        Some(file) => file.text.push_str(&format_after(&permit.text)),
        None => files.push(SourceFile::new(FILE, format_after(&permit.text).trim_start())),
    }
    let draft = draft::prepare(desk, draft::Body { files, cases: None }).await?;
    let note = if note.is_empty() { format!("allow what {event} refused") } else { note };
    go(desk, draft, None, note, None).await
}

fn format_after(text: &str) -> String {
    format!("\n{}\n", text.trim_end())
}
