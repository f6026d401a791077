//! Tools: what servers say they are, what was approved of that, and what they may be confirmed to do.

use std::collections::BTreeSet;

use bytes::Bytes;
use schemas::decision::DefinitionState;
use schemas::ids::ServerId;
use schemas::names::{ServerName, ToolName};
use schemas::pin;
use serde_json::{Value, json};

use super::desk::{Change, Desk, missing};
use super::problem::ApiError;
use super::reply::Reply;
use super::{read, servers, things};
use crate::platform::Platform;
use crate::store::admin;
use crate::store::documents::{self, TOOLS, Thing};
use crate::toolboxes::Flags;

/// All rows, as SQLite says it; D1 takes no number beyond what a double holds.
const NO_LIMIT: i64 = -1;

/// The tools of a server.
pub(super) async fn list<P: Platform>(
    desk: &Desk<'_, P>,
    server: &str,
    query: Option<&str>,
) -> Result<Reply, ApiError> {
    let server = servers::find(desk, &ServerName::parse(server)?).await?;
    things::list(desk.platform, &TOOLS, server.as_str(), query).await
}

/// All tools of a server, in the order of their names.
pub(super) async fn all<P: Platform>(desk: &Desk<'_, P>, server: &ServerId) -> Result<Value, ApiError> {
    let found = documents::list(desk.platform, &TOOLS, server.as_str(), &[], ("", NO_LIMIT)).await?;
    let tools: Vec<Value> =
        found.iter().map(|(_, text)| serde_json::from_str(text).unwrap_or_default()).collect();
    Ok(json!({ "tools": tools }))
}

/// One tool: its approved definition, and how it differs from what the server says now.
pub(super) async fn get<P: Platform>(
    desk: &Desk<'_, P>,
    server: &str,
    tool: &str,
) -> Result<Reply, ApiError> {
    let (server, name) = (ServerName::parse(server)?, ToolName::parse(tool)?);
    let id = servers::find(desk, &server).await?;
    let thing = Thing::new(&TOOLS, &id, name.as_str());
    let text = documents::get(desk.platform, &thing).await?.ok_or_else(|| missing(&thing))?;
    let [approved, live] = admin::definitions(desk.platform, &id, &name)
        .await?
        .map(|text| serde_json::from_str::<Value>(&text).ok());
    let changes = approved.as_ref().zip(live.as_ref()).map(|(approved, live)| pin::diff(approved, live));
    let mut shown: Value = serde_json::from_str(&text).unwrap_or_default();
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("definition".to_owned(), approved.unwrap_or_default());
        shown.insert("changes".to_owned(), json!(changes.unwrap_or_default()));
    }
    Ok(shown.into())
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Judgement {
    state: DefinitionState,
    flags: Flags,
    /// What it needs of an account, beyond what its server does; left out, it stays as it is.
    #[serde(default)]
    scopes: Option<BTreeSet<String>>,
}

/// Confirms what a tool does, or takes it out of use. Approving a changed definition is [`super::inspect`]'s: it must be looked at
/// as it is now.
pub(super) async fn judge<P: Platform>(
    desk: &Desk<'_, P>,
    server: &str,
    tool: &str,
    body: &Bytes,
) -> Result<Reply, ApiError> {
    let (server, name) = (ServerName::parse(server)?, ToolName::parse(tool)?);
    let Judgement { state, flags, scopes } = read(body)?;
    let scopes = scopes.map(|scopes| servers::scopes(&scopes)).transpose()?;
    let state = match state {
        DefinitionState::Approved => "approved",
        DefinitionState::Quarantined => "quarantined",
        DefinitionState::New | DefinitionState::Changed => {
            return Err(ApiError::Malformed("`state` is approved or quarantined".into()));
        }
    };
    let id = servers::find(desk, &server).await?;
    let thing = Thing::new(&TOOLS, &id, name.as_str());
    documents::get(desk.platform, &thing).await?.ok_or_else(|| missing(&thing))?;
    let change = Change {
        action: "tool.judge",
        told: format!("tool `{server}/{name}` is to be {state}, {flags:?}"),
        statements: admin::judge_tool(&id, name.as_str(), (flags, state), scopes).into(),
    };
    desk.put(&thing, change).await
}
