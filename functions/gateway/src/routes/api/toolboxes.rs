//! Toolboxes: what an MCP client connects to.

use bytes::Bytes;
use schemas::ids::ToolboxId;
use schemas::names::{ServerName, ToolboxName};
use serde::de::IgnoredAny;

use super::desk::{Change, Desk};
use super::problem::ApiError;
use super::reply::Reply;
use super::{random, read, servers};
use crate::platform::Platform;
pub(super) use crate::store::documents::TOOLBOXES as KIND;
use crate::store::{admin, endings};

const READ_ONLY: [&str; 3] = ["name", "id", "createdAt"];

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
    /// As a toolbox is read, so it may be written; these two are the server's.
    #[serde(default, rename = "status")]
    _status: IgnoredAny,
    #[serde(default, rename = "trust")]
    _trust: IgnoredAny,
}

pub(super) async fn get<P: Platform>(desk: &Desk<'_, P>, name: &str) -> Result<Reply, ApiError> {
    desk.show(&desk.thing(&KIND, ToolboxName::parse(name)?.as_str())).await
}

/// Makes a toolbox have exactly these servers.
pub(super) async fn put<P: Platform>(
    desk: &Desk<'_, P>,
    name: &str,
    body: &Bytes,
) -> Result<Reply, ApiError> {
    let name = ToolboxName::parse(name)?;
    let change = change(desk, &name, body).await?;
    desk.put(&desk.thing(&KIND, name.as_str()), change).await
}

pub(super) async fn patch<P: Platform>(
    desk: &Desk<'_, P>,
    name: &str,
    body: &Bytes,
) -> Result<Reply, ApiError> {
    let name = ToolboxName::parse(name)?;
    let thing = desk.thing(&KIND, name.as_str());
    let (whole, held) = desk.patched(&thing, body, &READ_ONLY).await?;
    let change = change(desk, &name, whole.to_string().as_bytes()).await?;
    desk.put_held(&thing, Some(held), change).await
}

async fn change<P: Platform>(
    desk: &Desk<'_, P>,
    name: &ToolboxName,
    body: &[u8],
) -> Result<Change, ApiError> {
    let Toolbox { servers } = read(body)?;
    let now = desk.platform.now();
    let id = ToolboxId::mint(now, random(desk.platform));
    let mut statements =
        vec![admin::add_toolbox(&id, &desk.org.id, name, now), admin::empty_toolbox(&desk.org.id, name)];
    let (mut prefixes, mut names) = (Vec::new(), Vec::new());
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
        if names.contains(&member.name.as_str()) {
            return Err(ApiError::Malformed(format!("server `{}` is there twice", member.name)));
        }
        let server = servers::find(desk, &member.name).await?;
        statements.push(admin::fill_toolbox(&desk.org.id, name, &server, &prefix));
        prefixes.push(prefix);
        names.push(member.name.as_str());
    }
    let told = format!("toolbox `{name}` has {}", names.join(", "));
    Ok(Change { action: "toolbox.put", told, statements })
}

/// Ends a toolbox, with what was granted of it, its own keys, and the calls of it that wait.
pub(super) async fn delete<P: Platform>(desk: &Desk<'_, P>, name: &str) -> Result<Reply, ApiError> {
    let name = ToolboxName::parse(name)?;
    let statements = endings::toolbox(&desk.org.id, &name, desk.platform.now());
    let change = Change { action: "toolbox.delete", told: format!("toolbox `{name}`"), statements };
    desk.delete(&desk.thing(&KIND, name.as_str()), change).await
}

/// The toolbox of that name.
pub(super) async fn find<P: Platform>(desk: &Desk<'_, P>, name: &ToolboxName) -> Result<ToolboxId, ApiError> {
    let id = admin::toolbox(desk.platform, &desk.org.id, name).await?;
    id.ok_or_else(|| ApiError::NotFound(format!("toolbox `{name}`")))
}
