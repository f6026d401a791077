//! Servers, toolboxes, and the judgement of tools.

use bytes::Bytes;
use schemas::decision::{DefinitionState, Status};
use schemas::ids::{ServerId, ToolboxId};
use schemas::names::{ServerName, ToolName, ToolboxName};
use schemas::pin;
use schemas::provisioner::WorkloadSpec;
use serde_json::{Value, json};

use super::problem::ApiError;
use super::{Desk, random, read};
use crate::platform::Platform;
use crate::store::admin::{self, Pinned};
use crate::store::targets;
use crate::toolboxes::Flags;

fn active() -> Status {
    Status::Active
}

fn untrusted() -> String {
    "untrusted".to_owned()
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Server {
    /// A workload spec without organisation, toolbox and server.
    #[serde(default)]
    workload: Option<Value>,
    /// Or the URL of a remote server that speaks MCP 2026-07-28.
    #[serde(default)]
    url: Option<String>,
    #[serde(default = "active")]
    status: Status,
    #[serde(default = "untrusted")]
    trust: String,
}

pub(super) async fn put_server<P: Platform>(
    desk: &Desk<'_, P>,
    name: &str,
    body: &Bytes,
) -> Result<Value, ApiError> {
    let name = ServerName::parse(name)?;
    let Server { workload, url, status, trust } = read(body)?;
    if !["first_party", "verified", "community", "untrusted"].contains(&trust.as_str()) {
        return Err(ApiError::Malformed("`trust` is first_party, verified, community or untrusted".into()));
    }
    match (&workload, &url) {
        (Some(workload), None) => check_workload(desk, &name, workload)?,
        (None, Some(url))
            if url::Url::parse(url)
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) => {}
        _ => {
            return Err(ApiError::Malformed(
                "a server has either `workload` or `url` (http or https)".into(),
            ));
        }
    }
    let now = desk.platform.now();
    let id = ServerId::mint(now, random(desk.platform));
    let statement = admin::put_server(
        &id,
        &desk.org.id,
        &name,
        workload.map(|w| w.to_string()),
        url,
        (status, &trust),
        now,
    );
    desk.change("server.put", format!("server `{name}`, {status:?}, {trust}"), vec![statement]).await?;
    Ok(json!({ "name": name }))
}

/// Whether the workload is one, once we say for whom: a placeholder stands for the toolbox.
fn check_workload<P: Platform>(
    desk: &Desk<'_, P>,
    name: &ServerName,
    workload: &Value,
) -> Result<(), ApiError> {
    let mut whole = workload.clone();
    let fields =
        whole.as_object_mut().ok_or_else(|| ApiError::Malformed("`workload` is an object".into()))?;
    for (key, value) in [("org", desk.name.as_str()), ("toolbox", "any"), ("server", name.as_str())] {
        if fields.insert(key.to_owned(), value.into()).is_some() {
            return Err(ApiError::Malformed(format!("`workload.{key}` is not yours to say: leave it out")));
        }
    }
    serde_json::from_value::<WorkloadSpec>(whole)
        .map(drop)
        .map_err(|error| ApiError::Malformed(format!("`workload`: {error}")))
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Toolbox {
    servers: Vec<Member>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    name: ServerName,
    /// What tells its names apart. By default nothing for a single server, and its own name beside others.
    #[serde(default)]
    prefix: Option<String>,
}

/// The servers of a toolbox.
pub(super) async fn toolbox<P: Platform>(desk: &Desk<'_, P>, name: &str) -> Result<Value, ApiError> {
    let name = ToolboxName::parse(name)?;
    let servers = targets::members(desk.platform, &desk.name, &name)
        .await?
        .ok_or_else(|| ApiError::NotFound(format!("toolbox `{name}`")))?;
    let servers: Vec<Value> = servers
        .iter()
        .map(|server| json!({ "name": server.name, "prefix": server.prefix, "status": server.status, "trust": server.trust }))
        .collect();
    Ok(json!({ "name": name, "servers": servers }))
}

/// Makes a toolbox have exactly these servers.
pub(super) async fn put_toolbox<P: Platform>(
    desk: &Desk<'_, P>,
    name: &str,
    body: &Bytes,
) -> Result<Value, ApiError> {
    let name = ToolboxName::parse(name)?;
    let Toolbox { servers } = read(body)?;
    let now = desk.platform.now();
    let id = ToolboxId::mint(now, random(desk.platform));
    let mut statements =
        vec![admin::add_toolbox(&id, &desk.org.id, &name, now), admin::empty_toolbox(&desk.org.id, &name)];
    let mut prefixes = Vec::new();
    for member in &servers {
        let prefix = match &member.prefix {
            Some(prefix) if prefix.is_empty() => String::new(),
            Some(prefix) => ServerName::parse(prefix)?.to_string(),
            None if servers.len() == 1 => String::new(),
            None => member.name.to_string(),
        };
        if prefixes.contains(&prefix) {
            return Err(ApiError::Malformed(format!("two servers have the prefix `{prefix}`")));
        }
        let server = find_server(desk, &member.name).await?;
        statements.push(admin::fill_toolbox(&desk.org.id, &name, &server, &prefix));
        prefixes.push(prefix);
    }
    let names = servers.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join(", ");
    desk.change("toolbox.put", format!("toolbox `{name}` has {names}"), statements).await?;
    Ok(json!({ "name": name, "prefixes": prefixes }))
}

pub(super) async fn tools<P: Platform>(desk: &Desk<'_, P>, server: &str) -> Result<Value, ApiError> {
    let server = find_server(desk, &ServerName::parse(server)?).await?;
    listed(desk, &server).await
}

pub(super) async fn listed<P: Platform>(desk: &Desk<'_, P>, server: &ServerId) -> Result<Value, ApiError> {
    let tools: Vec<Value> = admin::tools(desk.platform, server, None).await?.iter().map(summary).collect();
    Ok(json!({ "tools": tools }))
}

fn summary(tool: &Pinned) -> Value {
    let [pinned, live] = &tool.hashes;
    let (approved, now) = tool.positions;
    let mut summary = json!({
        "name": tool.name, "state": tool.state, "pinned": pinned, "live": live, "position": now, "flags": tool.flags,
    });
    // A tool at another's place may be the same one under a new name: say so.
    if let (Some(approved), Some(summary)) =
        (approved.filter(|approved| *approved != now), summary.as_object_mut())
    {
        summary.insert("approvedPosition".to_owned(), approved.into());
    }
    summary
}

/// One tool: its approved definition, and how it differs from what the server says now.
pub(super) async fn tool<P: Platform>(
    desk: &Desk<'_, P>,
    server: &str,
    tool: &str,
) -> Result<Value, ApiError> {
    let (server, name) = (ServerName::parse(server)?, ToolName::parse(tool)?);
    let id = find_server(desk, &server).await?;
    let found = admin::tools(desk.platform, &id, Some(name.as_str())).await?.into_iter().next();
    let found = found.ok_or_else(|| ApiError::NotFound(format!("tool `{server}/{name}`")))?;
    let [approved, live] = found.definitions.each_ref().map(|text| serde_json::from_str::<Value>(text).ok());
    let changes = approved.as_ref().zip(live.as_ref()).map(|(approved, live)| pin::diff(approved, live));
    let mut shown = summary(&found);
    if let Some(shown) = shown.as_object_mut() {
        shown.insert("definition".to_owned(), approved.unwrap_or_default());
        shown.insert("changes".to_owned(), json!(changes.unwrap_or_default()));
    }
    Ok(shown)
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Judgement {
    state: DefinitionState,
    flags: Flags,
}

/// Confirms what a tool does, or takes it out of use. Approving a changed definition is [`super::inspect`]'s: it must be looked at
/// as it is now.
pub(super) async fn judge_tool<P: Platform>(
    desk: &Desk<'_, P>,
    server: &str,
    tool: &str,
    body: &Bytes,
) -> Result<Value, ApiError> {
    let (server, tool) = (ServerName::parse(server)?, ToolName::parse(tool)?);
    let Judgement { state, flags } = read(body)?;
    let state = match state {
        DefinitionState::Approved => "approved",
        DefinitionState::Quarantined => "quarantined",
        DefinitionState::New | DefinitionState::Changed => {
            return Err(ApiError::Malformed("`state` is approved or quarantined".into()));
        }
    };
    let id = find_server(desk, &server).await?;
    let results = desk
        .change(
            "tool.judge",
            format!("tool `{server}/{tool}` is to be {state}, {flags:?}"),
            vec![admin::judge_tool(&id, tool.as_str(), flags, state)],
        )
        .await?;
    if results.first().is_none_or(Vec::is_empty) {
        let why = format!("no tool `{server}/{tool}` that still is as it was looked at: inspect the server");
        return Err(ApiError::Conflict(why));
    }
    Ok(json!({ "state": state }))
}

pub(super) async fn find_server<P: Platform>(
    desk: &Desk<'_, P>,
    name: &ServerName,
) -> Result<ServerId, ApiError> {
    let id = admin::server(desk.platform, &desk.org.id, name).await?;
    id.ok_or_else(|| ApiError::NotFound(format!("server `{name}`")))
}
