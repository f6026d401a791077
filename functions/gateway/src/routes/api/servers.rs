//! MCP servers.

use bytes::Bytes;
use schemas::decision::Status;
use schemas::ids::ServerId;
use schemas::names::ServerName;
use schemas::provisioner::WorkloadSpec;
use serde_json::Value;

use super::desk::{Change, Desk};
use super::problem::ApiError;
use super::reply::Reply;
use super::users::{active, not_deleted};
use super::{random, read};
use crate::platform::Platform;
pub(super) use crate::store::documents::SERVERS as KIND;
use crate::store::{admin, endings};

const READ_ONLY: [&str; 5] = ["name", "id", "toolboxes", "inspectedAt", "createdAt"];

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

pub(super) async fn get<P: Platform>(desk: &Desk<'_, P>, name: &str) -> Result<Reply, ApiError> {
    desk.show(&desk.thing(&KIND, ServerName::parse(name)?.as_str())).await
}

pub(super) async fn put<P: Platform>(
    desk: &Desk<'_, P>,
    name: &str,
    body: &Bytes,
) -> Result<Reply, ApiError> {
    let name = ServerName::parse(name)?;
    let change = change(desk, &name, body)?;
    desk.put(&desk.thing(&KIND, name.as_str()), change).await
}

pub(super) async fn patch<P: Platform>(
    desk: &Desk<'_, P>,
    name: &str,
    body: &Bytes,
) -> Result<Reply, ApiError> {
    let name = ServerName::parse(name)?;
    let thing = desk.thing(&KIND, name.as_str());
    let (whole, held) = desk.patched(&thing, body, &READ_ONLY).await?;
    let change = change(desk, &name, whole.to_string().as_bytes())?;
    desk.put_held(&thing, Some(held), change).await
}

fn change<P: Platform>(desk: &Desk<'_, P>, name: &ServerName, body: &[u8]) -> Result<Change, ApiError> {
    let Server { workload, url, status, trust } = read(body)?;
    let status = not_deleted(status)?;
    if !["first_party", "verified", "community", "untrusted"].contains(&trust.as_str()) {
        return Err(ApiError::Malformed("`trust` is first_party, verified, community or untrusted".into()));
    }
    match (&workload, &url) {
        (Some(workload), None) => check_workload(desk, name, workload)?,
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
        name,
        workload.map(|w| w.to_string()),
        url,
        (status, &trust),
        now,
    );
    let told = format!("server `{name}`, {status:?}, {trust}");
    Ok(Change { action: "server.put", told, statements: vec![statement] })
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

/// Takes a server out of every toolbox, with its tools, their pins, and what was granted of it.
pub(super) async fn delete<P: Platform>(desk: &Desk<'_, P>, name: &str) -> Result<Reply, ApiError> {
    let name = ServerName::parse(name)?;
    let statements = endings::server(&desk.org.id, &name);
    let change = Change { action: "server.delete", told: format!("server `{name}`"), statements };
    desk.delete(&desk.thing(&KIND, name.as_str()), change).await
}

/// The server of that name.
pub(super) async fn find<P: Platform>(desk: &Desk<'_, P>, name: &ServerName) -> Result<ServerId, ApiError> {
    let id = admin::server(desk.platform, &desk.org.id, name).await?;
    id.ok_or_else(|| ApiError::NotFound(format!("server `{name}`")))
}
